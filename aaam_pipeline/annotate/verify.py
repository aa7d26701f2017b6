"""`aaam-pipe verify`: are annotations what their manifest says? Reads every byte of them, loads no model."""

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from aaam_pipeline.annotate.staging import total_stats
from aaam_pipeline.core.artifacts import fingerprint
from aaam_pipeline.core.errors import AaamError, IntegrityError, VersionError
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.formats import part_files
from aaam_pipeline.formats.assignment import Assignment
from aaam_pipeline.formats.columns import to_matrix
from aaam_pipeline.formats.database import explained
from aaam_pipeline.formats.older_parts import schema_of, to_current
from aaam_pipeline.formats.parts import (
    AnnotationsManifest,
    find_manifest,
    find_stats,
    part_path,
    read_annotations_manifest,
    read_stats,
)
from aaam_pipeline.formats.vocabulary import Vocabulary

ALWAYS = ("path", "root", "status", "model_id")
ANSWERS = ("width", "height", "labels", "label_scores", "scores", "embedding")
OF_PICTURES = {"captured_at": "a date", "phash": "a perceptual hash", "unfamiliar": "unfamiliarity"}
SHOWN = 10
# version 2 kept scores as float16 and assigned labels' scores as float32; its rows may stand in folders of version 3
ROUNDING = 0.001


def verify(folder: Path, report: Reporter) -> AnnotationsManifest:
    """Check annotations: inputs = ok + failed, hashes, schema, rows, no duplicates; return their manifest.

    Raises:
        UsageError: `folder` holds no annotations.
        IntegrityError: they are not what their manifest says, and the first things found; or are of another version.
    """
    manifest = read_annotations_manifest(folder)
    problems = [*_manifest_problems(folder, manifest)]
    if not problems:
        with report.task("verify", manifest.inputs) as advance, _counted() as names:
            for number in range(manifest.parts):
                found, count = _part_problems(folder, number, manifest, names)
                problems += found
                advance(count, len(found))
            if not problems:
                problems += _sum_problems(folder, manifest, names)
    if problems:
        shown = "; ".join(problems[:SHOWN]) + (f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else "")
        raise IntegrityError(f"{folder} is damaged: {shown}")
    return manifest


@contextmanager
def _counted() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a table for the rows' roots and hashes of names: DuckDB counts within bounded memory, else in a folder."""
    with tempfile.TemporaryDirectory(prefix="aaam-") as scratch:
        path = Path(scratch) / "names.duckdb"
        try:
            with duckdb.connect(str(path)) as names:
                names.execute(f"SET memory_limit = '1GB'; SET threads = {available_cores()}")
                names.execute("CREATE TABLE names (root VARCHAR, name UBIGINT)")
                yield names
        except duckdb.Error as error:
            raise explained(error, path, "verify again") from None


def _sum_problems(folder: Path, manifest: AnnotationsManifest, names: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Yield how the sums over the parts, which are what their stats say, differ from the manifest's."""
    total = total_stats(folder)
    repeated = names.execute("SELECT count(*) - count(DISTINCT name) FROM names").fetchall()[0][0]
    roots = names.execute("SELECT DISTINCT root FROM names").fetchall()
    sums: list[tuple[str, Any, Any]] = [
        ("rows", total.count, manifest.inputs),
        ("annotated rows", total.successes, manifest.successes),
        ("failures", total.failures, manifest.failures),
        ("rows that say whether they are unfamiliar", total.judged, manifest.judged),
        ("unfamiliar rows", total.unfamiliar, manifest.unfamiliar),
        ("rows of an input that has one already", repeated, manifest.repeated),
        ("roots", sorted(root for (root,) in roots), sorted(manifest.roots)),
    ]
    different = [f"{name}: {now}, the manifest says {said}" for name, now, said in sums if now != said]
    yield from different
    if not different and total.inputs_hash != manifest.inputs_hash:
        yield "the rows are not those of the inputs: names, sizes or times were changed"


def _manifest_problems(folder: Path, manifest: AnnotationsManifest) -> Iterator[str]:
    name = find_manifest(folder).name
    try:
        if Vocabulary(manifest.vocabulary).hash != manifest.vocabulary_hash:
            yield f"{name}: the vocabulary was changed"
    except IntegrityError as error:
        yield f"{name}: {error}"
    if len(manifest.thresholds) != len(manifest.vocabulary):
        yield f"{name}: {len(manifest.thresholds)} thresholds for {len(manifest.vocabulary)} labels"
    if manifest.calibration and not manifest.calibration.fits(len(manifest.vocabulary)):
        yield f"{name}: the calibration is not of {len(manifest.vocabulary)} labels"
    if len(manifest.words) not in (0, len(manifest.vocabulary)):
        yield f"{name}: it says of {len(manifest.words)} words how well they are known, of {len(manifest.vocabulary)}"
    if manifest.settings_hash != fingerprint([manifest.schema_version, manifest.model_id, manifest.settings]):
        yield f"{name}: the model or the settings were changed"
    there = {path.name for path in folder.iterdir()}
    expected = {name}
    # a manifest that was tampered with may say anything
    for number in range(min(manifest.parts, len(there))):
        part = part_path(folder, number)
        expected |= {part.name, find_stats(part).name}
    yield from (f"{each} is missing" for each in sorted(expected - there))
    if manifest.parts > len(there):
        yield f"{name}: {manifest.parts} parts, more than there are files"
    # anything that a reader of *.parquet would take for rows
    foreign = sorted(each for each in there - expected if re.fullmatch(r"_?part-.*|.*\.parquet", each, re.DOTALL))
    yield from (f"{each} does not belong here" for each in foreign)


def _part_problems(
    folder: Path, number: int, manifest: AnnotationsManifest, names: duckdb.DuckDBPyConnection
) -> tuple[list[str], int]:
    """Return what is wrong with a part, and how many rows it has; note the names of these."""
    path = part_path(folder, number)
    try:
        stats = read_stats(path)
        rows = part_files.read_part(path)
    except VersionError:
        # whole, and another version reads it
        raise
    except AaamError as error:
        return [" ".join(str(error).split())], 0
    expected = schema_of(manifest.schema_version, len(manifest.vocabulary), manifest.embedding_dim)
    # a reader of Parquet may add metadata of its own
    version = (rows.schema.metadata or {}).get(b"aaam_schema_version")
    if not rows.schema.equals(expected) or version != expected.metadata[b"aaam_schema_version"]:
        return [f"{path.name} has another schema than its manifest says"], len(rows)
    rows = to_current(rows)
    names.register("incoming", rows.select(["root", "path"]))
    names.execute("INSERT INTO names SELECT root, hash(root, path) FROM incoming")
    names.unregister("incoming")
    failures = dict(sorted(Counter(rows["error_type"].drop_null().to_pylist()).items()))
    # values can be compared where each row has what it should have
    problems = [*_row_problems(rows, manifest)] or [*_value_problems(rows, manifest)]
    if (stats.count, stats.count - stats.successes, stats.failures) != (len(rows), sum(failures.values()), failures):
        problems.append("its stats count other rows")
    unfamiliar = rows["unfamiliar"]
    judged = len(rows) - unfamiliar.null_count, pc.sum(unfamiliar, min_count=0).as_py()
    if (stats.judged, stats.unfamiliar) != judged:
        problems.append("its stats count other rows as unfamiliar")
    if stats.inputs_hash != f"{part_files.inputs_hash(rows):032x}":
        problems.append("its stats stand for other inputs")
    return [f"{path.name}: {problem}" for problem in problems], len(rows)


def _row_problems(rows: pa.Table, manifest: AnnotationsManifest) -> Iterator[str]:
    """Yield what rows lack, or hold too much."""
    ok = pc.equal(rows["status"], "ok")
    failed = pc.equal(rows["status"], "failed")
    if not pc.all(pc.or_(ok, failed)).as_py():
        yield "a status is neither ok nor failed"
    if any(rows[name].null_count for name in ALWAYS):
        yield f"one of {', '.join(ALWAYS)} is null"
    for name in ANSWERS:
        if not rows[name].is_valid().equals(ok):
            yield f"{name} is not null exactly where the image failed"
    for name, what in OF_PICTURES.items():
        if pc.any(pc.and_(rows[name].is_valid(), failed)).as_py():
            yield f"{what} of an image that failed"
    if pc.any(pc.and_(rows["captured_at_offset"].is_valid(), rows["captured_at"].is_null())).as_py():
        yield "an offset of a date that is not there"
    if not rows["error_type"].is_valid().equals(failed) or not rows["error_message"].is_valid().equals(failed):
        yield "an error is not given exactly where the image failed"
    if any(rows[name].filter(ok).null_count for name in ("sha256", "bytes")):
        yield "the SHA-256 or the size of an annotated image is not known"
    if pc.any(pc.not_equal(rows["model_id"], manifest.model_id)).as_py():
        yield f"rows of another model than {manifest.model_id}"
    labels = pc.unique(pc.list_flatten(rows["labels"]))
    unknown = pc.filter(labels, pc.invert(pc.is_in(labels, pa.array(manifest.vocabulary, pa.string()))))
    if len(unknown):
        yield f"labels that are not in the vocabulary: {', '.join(map(str, unknown.to_pylist()[:3]))}"
    if not pc.list_value_length(rows["labels"]).equals(pc.list_value_length(rows["label_scores"])):
        yield "not one score for every label"


def _value_problems(rows: pa.Table, manifest: AnnotationsManifest) -> Iterator[str]:
    """Yield what is wrong with scores, embeddings and labels. Shapes: N annotated rows, L labels, A labels assigned."""
    annotated = rows.filter(pc.equal(rows["status"], "ok")).combine_chunks()
    if not len(annotated):
        return
    if not np.isfinite(to_matrix(annotated["embedding"])).all():
        yield "embeddings that are not finite"
    scores_NL = to_matrix(annotated["scores"]).astype(np.float32)
    if not ((scores_NL >= 0) & (scores_NL <= 1)).all():
        yield "scores that are no probabilities"
        return
    counts_N = pc.list_value_length(annotated["labels"]).to_numpy()
    row_A = np.repeat(np.arange(len(annotated)), counts_N)
    vocabulary = pa.array(manifest.vocabulary, pa.string())
    label_A = pc.index_in(pc.list_flatten(annotated["labels"]), vocabulary).to_numpy()
    given_A = pc.list_flatten(annotated["label_scores"]).to_numpy()
    # not (<=): what is not a number is no score
    if not (np.abs(given_A - scores_NL[row_A, label_A]) <= ROUNDING).all():
        yield "scores of labels that are not those of the row"
    if (
        len(np.unique(row_A * len(vocabulary) + label_A)) < len(row_A)
        or (np.diff(given_A)[np.diff(row_A) == 0] > 0).any()
    ):
        yield "labels that come twice or are not in the order of their scores"
    rule = Assignment.of(manifest.settings, manifest.thresholds)
    top, limits_L = rule.top, np.asarray(rule.limits(manifest.thresholds), np.float32)
    largest = len(vocabulary) if top is None else top
    # scores on the limit may have been rounded to its other side
    fewest_N = (scores_NL >= limits_L + ROUNDING).sum(1).clip(max=largest)
    most_N = (scores_NL >= limits_L - ROUNDING).sum(1).clip(max=largest)
    if ((counts_N < fewest_N) | (counts_N > most_N)).any():
        yield "labels that are not those which the thresholds and settings give"
