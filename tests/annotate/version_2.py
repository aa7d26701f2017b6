"""Annotations as version 2 of them was written: a folder of today, turned back."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aaam_pipeline.core.artifacts import file_sha256, fingerprint, write_checksummed
from aaam_pipeline.formats.older_parts import ADDED, RENAMED, VECTORS, schema_of
from aaam_pipeline.formats.parts import read_annotations_manifest, read_stats, stats_path


def turn_back(rows: Path) -> None:
    """Make all parts of a folder parts of version 2, with stats as they were named then."""
    for part in rows.glob("part-*.parquet"):
        stats = read_stats(part)
        older_rows(part)
        stats_path(part).unlink()
        old = part.with_name(f"{part.stem}_stats.json")
        write_checksummed(old, msgspec.structs.replace(stats, sha256=file_sha256(part)))


def older_rows(part: Path) -> None:
    now = pq.ParquetFile(part).read().combine_chunks()
    schema = schema_of(2, *(now.schema.field(name).type.list_size for name in VECTORS))
    names = {old: new for new, old in RENAMED.items()}
    columns = [
        half(now[field.name]) if field.name in VECTORS else now[names.get(field.name, field.name)] for field in schema
    ]
    assert not set(ADDED) & set(schema.names)
    pq.write_table(pa.table(columns, schema=schema), part, compression="zstd")


def half(column: pa.ChunkedArray) -> pa.Array:
    kind = pa.list_(pa.float16(), column.type.list_size)
    return pa.array([None if row is None else np.array(row, np.float16) for row in column.to_pylist()], kind)


def older_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    hash = fingerprint([2, manifest["model_id"], manifest["settings"]])
    content = manifest | {"schema_version": 2, "settings_hash": hash, "hash": ""}
    return content | {"hash": fingerprint(content)}


def publish_version_2(folder: Path) -> None:
    """Turn a whole folder back."""
    manifest = read_annotations_manifest(folder)
    turn_back(folder)
    (folder / "_manifest.json").unlink()
    text = json.dumps(older_manifest(msgspec.to_builtins(manifest)))
    (folder / "manifest.json").write_text(text)


def interrupt_version_2(partial: Path) -> None:
    """Turn the staging folder of an interrupted run back."""
    turn_back(partial / "rows")
    plan = json.loads((partial / "plan.json").read_text())
    plan |= {"manifest": older_manifest(plan["manifest"]), "hash": ""}
    (partial / "plan.json").write_text(json.dumps(plan | {"hash": fingerprint(plan)}))
