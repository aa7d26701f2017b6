"""The columns of taught words: a row of codes each, computed from the vectors of an index, without any picture.

Shapes: N images, W words.

`taught.codes` holds the codes of `formats.ranking`, uint16 (W, N), in the order of the manifest's `taught`. A word that
was taught with another embedding, or that the model of the index knows itself, has no column.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import publish, work_folder
from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.formats import ranking, taught
from aaam_pipeline.formats.model_ids import embedding_of
from aaam_pipeline.formats.part_files import link_file
from aaam_pipeline.formats.taught import TaughtLine
from aaam_pipeline.formats.vocabulary import Vocabulary
from aaam_pipeline.index import manifest as manifests
from aaam_pipeline.index.manifest import FILES, TAUGHT, VECTORS, IndexManifest, TaughtColumn
from aaam_pipeline.index.vectors import Vectors


def fitting(lines: Sequence[TaughtLine], model_id: str, vocabulary: Sequence[str]) -> list[TaughtLine]:
    """Return the words that an index of a model has columns of."""
    known = Vocabulary(vocabulary)
    return [line for line in taught.of_embedding(lines, embedding_of(model_id)) if line.word.label not in known]


def left_out(lines: Sequence[TaughtLine], model_id: str, vocabulary: Sequence[str]) -> list[str]:
    """Say in a line each which words an index of a model has no columns of, and what to do."""
    known, embedding = Vocabulary(vocabulary), embedding_of(model_id)
    said = [
        f"{line.word.label!r} was taught by you, but the model knows it, too: its own word is searched"
        for line in lines
        if line.word.label in known
    ]
    others = [line.word.label for line in lines if line.word.embedding != embedding and line.word.label not in known]
    if others:
        names = ", ".join(map(repr, others))
        said.append(
            f"left out, since taught with another model: {names}; aaam-pipe teach --from-decisions teaches them again"
        )
    return said


def is_current(manifest: IndexManifest, lines: Sequence[TaughtLine]) -> bool:
    """Return whether an index has exactly the columns of these words."""
    wanted = [line.digest for line in fitting(lines, manifest.model_id, manifest.vocabulary)]
    return [column.digest for column in manifest.taught] == wanted


def renew(index: Path, lines: Sequence[TaughtLine]) -> IndexManifest:
    """Give an index the columns of these words and no others; all else of it stays, and it is replaced in one step.

    Raises:
        UsageError: there is no index, it cannot be written, or another process writes it.
        IntegrityError: it is damaged.
        AaamError: there is no room.
    """
    with exclusive(index):
        return replace_columns(index, manifests.read(index), lines)


def replace_columns(index: Path, before: IndexManifest, lines: Sequence[TaughtLine]) -> IndexManifest:
    """Do what `renew` does, for who holds the index, and has read its manifest."""
    if is_current(before, lines):
        return before
    work = work_folder(index)
    try:
        for name in FILES:
            link_file((index / name).resolve(), work / name)
        hashes = {name: before.sha256[name] for name in FILES}
        manifest = manifests.write(work, with_columns(work, before, lines), hashes)
    except (AaamError, OSError) as error:
        shutil.rmtree(work)
        if isinstance(error, OSError) and not error.filename:
            raise AaamError(f"cannot write the index {index}: {error.strerror or error}") from error
        raise
    publish(work, index)
    return manifest


def with_columns(folder: Path, manifest: IndexManifest, lines: Sequence[TaughtLine]) -> IndexManifest:
    """Write the columns of words beside the vectors that lie in `folder`; return the manifest with them."""
    wanted = fitting(lines, manifest.model_id, manifest.vocabulary)
    if not wanted:
        return msgspec.structs.replace(manifest, taught=[])
    with (folder / VECTORS).open("rb") as file:
        vectors = Vectors(file, manifest, just_written=VECTORS not in manifest.sha256)
    scores_NW = taught.from_products(wanted, vectors.products(taught.weights(wanted)))
    codes_WN = np.ascontiguousarray(ranking.encode(scores_NW).T)
    (folder / TAUGHT).write_bytes(codes_WN.astype("<u2", copy=False).tobytes())
    columns = [_column(line, codes_N) for line, codes_N in zip(wanted, codes_WN, strict=True)]
    return msgspec.structs.replace(manifest, taught=columns)


def _column(line: TaughtLine, codes_N: NDArray[np.uint16]) -> TaughtColumn:
    word = line.word
    images = int((codes_N >= ranking.encode(np.array(word.threshold))).sum())
    return TaughtColumn(word.label, line.digest, word.threshold, images, word.origin, word.ap, word.low, word.high)
