"""Everything that rooms exchange as files, each with its version: what flows through the project.

- `scores`: `scores.parquet`, a row an image of a split, written by training and every compared method.
- `recordings`: scores while training, for the paper's Fig. 2.
- `parts`: `annotations/`, a row for every input image, written by annotate, read by index and by anyone else;
  `older_parts`: those of the version before.
- `decisions`: `decisions.jsonl`, what people, files and models said of photographs; `decision_lines`,
  `decision_columns`: its lines, and the same in columns;
  `decision_tables`: tables of decisions that other programs write and read.
- `comparison`: what became of the compared methods.
- `packets`: XMP packets and IPTC records (`iptc`) in picture files.
- `xmp`: keywords in sidecars and pictures, as photo programs write them, and what of them we wrote.
- `vocabulary`, `calibration`, `ranking`: what a column of scores is called, what its values mean, how they rank.

This room knows no other but `core`, and never loads torch.
"""

SCHEMA_VERSION = 2
"""Of scores and recordings; annotations have a version of their own (`parts`)."""
