"""The folder that `datasets` of Hugging Face reads: photographs, and what is known of them in `metadata.parquet`.

    metadata.parquet          columns file_name, labels, ...; in a folder for each split, where there are splits
    images/...

https://huggingface.co/docs/datasets/image_dataset#imagefolder
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aaam_pipeline.exchange.exporters.rows import ExportRow
from aaam_pipeline.exchange.exporters.target import Add, ExportTarget, names_of_splits, record

IMAGES = "images"
ROWS = 4096
_FACTS = pa.list_(
    pa.struct(
        [
            ("label", pa.string()),
            ("score", pa.float32()),
            *((name, pa.string()) for name in ("by", "source", "at")),
        ]
    )
)


@contextmanager
def imagefolder(target: ExportTarget) -> Iterator[Add]:
    """Write a folder."""
    schema = pa.schema(
        [
            ("file_name", pa.string()),
            *((name, pa.string()) for name in ("path", "root", "sha256", "captured_at")),
            *((name, pa.int32()) for name in ("width", "height")),
            ("unfamiliar", pa.bool_()),
            ("labels", pa.list_(pa.string())),
            ("label_facts", _FACTS),
            ("denied", _FACTS),
            # a column for each label would be many hundreds; the order is that of `labels.txt`
            *([("scores", pa.list_(pa.float32()))] if target.scores else []),
        ]
    )
    (target.path / "labels.txt").write_text("".join(f"{label}\n" for label in target.labels), encoding="utf8")
    with ExitStack() as open_files:
        writers, waiting = {}, {}
        for split in names_of_splits(target):
            (target.path / split / IMAGES).mkdir(parents=True)
            path = target.path / split / "metadata.parquet"
            writers[split] = open_files.enter_context(pq.ParquetWriter(path.absolute(), schema))
            waiting[split] = list[dict[str, Any]]()

        def add(row: ExportRow) -> bool:
            split = row.split if target.splits else ""
            within = f"{split}/{IMAGES}" if split else IMAGES
            if (name := target.pictures.place(row, within)) is None:
                return False
            facts = record(row, target) | {"file_name": f"{IMAGES}/{name}"}
            if row.scores is not None:
                facts["scores"] = [row.scores.get(label) for label in target.labels]
            waiting[split].append(facts)
            if len(waiting[split]) >= ROWS:
                flush(split)
            return True

        def flush(split: str) -> None:
            if waiting[split]:
                writers[split].write_table(pa.Table.from_pylist(waiting[split], schema))
                waiting[split].clear()

        yield add
        for split in waiting:
            flush(split)
