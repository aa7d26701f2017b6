"""`aaam-pipe verify index/`: is an index what its manifest says? Reads every byte of it."""

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.formats.database import OTHER_TABLES, attach, explained
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.manifest import SCORES, IndexManifest, rebuilding
from aaam_pipeline.index.scores import count_labels, count_unfamiliar
from aaam_pipeline.index.vectors import open_vectors

SAMPLE = 100


def verify(folder: Path, report: Reporter) -> IndexManifest:
    """Check an index: hashes, one row an image in both tables, label counts, images that find themselves.

    Raises:
        UsageError: `folder` is no index.
        IntegrityError: it is not what its manifest says; names all that was found.
    """
    manifest = manifests.read(folder)
    with report.task("verify", len(manifest.files) + 2) as advance:
        for name in manifest.files:
            if file_sha256(folder / name) != manifest.sha256.get(name):
                raise IntegrityError(f"{folder / name} was changed: its SHA-256 is not that of the manifest")
            advance(1)
        problems = [*_score_problems(folder, manifest)]
        advance(1)
        problems += _vector_problems(folder, manifest)
        advance(1)
    if problems:
        raise IntegrityError(f"{folder} is damaged: {'; '.join(problems)}; {rebuilding(folder)}")
    return manifest


def _score_problems(folder: Path, manifest: IndexManifest) -> Iterator[str]:
    """Yield where the two tables do not hold the images 0 to N - 1, each with a rank by path of its own."""
    expected = (manifest.images, manifest.images, 0, manifest.images - 1)
    try:
        with duckdb.connect(":memory:", config={"threads": available_cores()}) as database:
            attach(database, folder / SCORES, "index", read_only=True)
            database.execute("USE index")
            for table, column in (("scores", "id"), ("scores", "place"), ("images", "id")):
                count = f"SELECT count(*), count(DISTINCT {column}), min({column}), max({column}) FROM {table}"
                if database.execute(count).fetchone() != expected:
                    yield f"{table}.{column} is not one number for each of {manifest.images} images"
            if count_labels(database, manifest.vocabulary) != manifest.label_counts:
                yield "the labels of the images are not counted as in the manifest"
            # version 5 and 4 have no such column
            if manifest.schema_version > 5 and count_unfamiliar(database) != (manifest.judged, manifest.unfamiliar):
                yield "unfamiliar images are not counted as in the manifest"
    except OTHER_TABLES as error:
        yield str(error).splitlines()[0]
    except duckdb.Error as error:
        # the file is as it was written: its hash was compared
        raise explained(error, folder / SCORES, rebuilding(folder)) from None


def _vector_problems(folder: Path, manifest: IndexManifest) -> Iterator[str]:
    """Yield images, of a sample, that are not the nearest to themselves."""
    chosen = np.random.default_rng().choice(manifest.images, min(SAMPLE, manifest.images), replace=False)
    try:
        vectors = open_vectors(folder, manifest)
        for id in map(int, chosen):
            vector_D = vectors.get(id)
            found = dict(vectors.nearest(vector_D, 1))
            nearest, cosine = next(iter(found.items()))
            # an equal image may be found instead, one that is less near or even nearer may not
            if id not in found and abs(cosine - np.linalg.norm(vector_D)) > vectors.rounding:
                yield f"image {id} is not the nearest to itself, but {nearest}"
    except IntegrityError as error:
        yield str(error)
