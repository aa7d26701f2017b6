"""The photographs by which a word is taught: found by name or by what was decided, with their vectors.

Shapes: N photographs, D embedding.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import file_sha256, path_text
from aaam_pipeline.core.errors import ImageError, IntegrityError, UsageError
from aaam_pipeline.core.progress import Reporter

if TYPE_CHECKING:
    from aaam_pipeline.search import Embed
    from aaam_pipeline.search.reader import IndexReader

Vectors = NDArray[np.float32]
NAMED = 3


def by_name(names: Sequence[str], index: "IndexReader", report: Reporter) -> dict[str, str]:
    """Return the photographs of folders, lists and files: name by SHA-256.

    Raises:
        UsageError: a name is none of a file, folder or list that can be read, or there is no photograph in it.
    """
    if not names:
        return {}
    from aaam_pipeline.annotate import inputs
    from aaam_pipeline.search.similar import id_of

    skipped: Counter[str] = Counter()
    found: dict[str, str] = {}
    missing = []
    for item in inputs.find(names, skipped=skipped):
        if item.offset is None and Path(item.location).is_file():
            found.setdefault(file_sha256(Path(item.location)), item.location)
            continue
        # not at hand: behind a URL, in a tar, or away
        location = f"{item.root.rstrip('/')}/{item.path}"
        id = id_of(location, index)
        if id is None:
            missing.append(location)
        else:
            ((sha256,),) = index.select("SELECT sha256 FROM images WHERE id = ?", [id])
            found.setdefault(sha256, "")
    if missing:
        more = f" and {len(missing) - NAMED} more" if missing[NAMED:] else ""
        raise UsageError(f"no photograph {', '.join(missing[:NAMED])}{more}, neither as a file nor in the index")
    for kind, count in skipped.items():
        if kind != inputs.SIDECAR:
            report.info(f"left out: {count} {kind}")
    return found


def check_apart(yes: dict[str, str], no: dict[str, str]) -> None:
    """Check that no photograph is in both.

    Raises:
        UsageError: one is.
    """
    if both := [path_text(yes[sha256] or no[sha256] or sha256) for sha256 in yes if sha256 in no]:
        more = f" and {len(both) - NAMED} more" if both[NAMED:] else ""
        raise UsageError(f"given with --yes and with --no: {', '.join(both[:NAMED])}{more}; name each with one of them")


class ExampleVectors:
    """Vectors of photographs by SHA-256: those of the index, and of files beside it by its model."""

    def __init__(self, index: "IndexReader", embed: "Embed", report: Reporter) -> None:
        self._index, self._embed, self._report = index, embed, report
        self._embedded: dict[str, Vectors | None] = {}

    def ids(self, sha256s: Iterable[str]) -> dict[str, list[int]]:
        """Return the ids of the images of each content that the index holds."""
        rows = self._index.select(
            "SELECT sha256, list(id ORDER BY id) FROM images WHERE sha256 IN (SELECT unnest(?::VARCHAR[])) GROUP BY 1",
            [list(sha256s)],
        )
        return dict(rows)

    def of(self, sha256s: Sequence[str], names: dict[str, str]) -> tuple[Vectors, list[str]]:
        """Return unit vectors (N, D), and the contents that have one; a content that is nowhere is left out."""
        ids = self.ids(sha256s)
        outside = [sha256 for sha256 in sha256s if sha256 not in ids and names.get(sha256)]
        self._embed_files([sha256 for sha256 in outside if sha256 not in self._embedded], names)
        inside = [sha256 for sha256 in sha256s if sha256 in ids]
        beside = [(sha256, found) for sha256 in outside if (found := self._embedded[sha256]) is not None]
        stored_ND = self._index.vectors.some([ids[sha256][0] for sha256 in inside])
        vectors_ND = np.concatenate([stored_ND, *(vector_D[None] for _, vector_D in beside)])
        return unit(vectors_ND), [*inside, *(sha256 for sha256, _ in beside)]

    def _embed_files(self, sha256s: Sequence[str], names: dict[str, str]) -> None:
        if not sha256s:
            return
        from aaam_pipeline.formats.model_ids import embedding_of

        wanted = self._index.manifest.model_id
        with self._report.task("embed examples", len(sha256s)) as advance:
            for sha256 in sha256s:
                photo = Path(names[sha256]).absolute()
                try:
                    model_id, vector_D = self._embed(photo)
                except (ImageError, UsageError) as error:
                    # one that is about the photograph, not about the model
                    if not str(error).startswith(path_text(photo)):
                        raise
                    self._embedded[sha256] = None
                    self._report.info(f"left out: {error}")
                else:
                    if embedding_of(model_id) != embedding_of(wanted):
                        raise IntegrityError(f"the index was built with {wanted}, not {model_id}; name its own --model")
                    self._embedded[sha256] = vector_D
                advance(1)


def unit(vectors_ND: Vectors) -> Vectors:
    """Return vectors scaled to length 1."""
    found_ND: Vectors = vectors_ND / np.maximum(np.linalg.norm(vectors_ND, axis=1, keepdims=True), 1e-12)
    return found_ND
