"""Batch image annotation and keyword retrieval with the Adaptive Attention Annotation Model (AAAM).

Two wings, joined by files and not by imports. *Learning*: datasets -> models -> training -> evaluation.
*Retrieval*: annotate -> index -> search. Start reading at `formats/` (what flows) and `dvc.yaml` (in what order).
"""

__version__ = "0.1.0"
