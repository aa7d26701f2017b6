"""What a search returns: images with their scores, as tuples or as an Arrow table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

from aaam_pipeline.core.artifacts import real_path
from aaam_pipeline.formats.decisions import Verdict


class Hit(NamedTuple):
    """One image found. `score`: of the query in [0, 1], or the cosine for similar images; `labels`: those assigned.

    `unfamiliar`: whether it is unlike all that the model was trained with, so that its labels mean little; None: the
    model does not say. `decided`: what somebody decided of the image, by label; `labels` and scores are as decided.
    """

    path: str
    root: str
    score: float
    labels: list[str]
    label_scores: dict[str, float]
    unfamiliar: bool | None = None
    decided: dict[str, Verdict] = {}  # noqa: RUF012

    def decided_as(self, verdicts: dict[str, Verdict]) -> "Hit":
        """Return the hit with decisions: without the labels that are a no, and with those that are a yes."""
        if not verdicts:
            return self
        added = [label for label, verdict in verdicts.items() if verdict.value == "yes" and label not in self.labels]
        kept = [label for label in self.labels if label not in verdicts or verdicts[label].value == "yes"]
        return self._replace(labels=[*kept, *added], decided=verdicts)

    @property
    def location(self) -> str:
        """The image's path or URL when it was annotated."""
        return f"{self.root.rstrip('/')}/{self.path}"

    @property
    def is_remote(self) -> bool:
        """Whether the image lies behind a URL."""
        return "://" in self.root

    @property
    def file(self) -> Path:
        """`location` as a path that can be opened; for an image behind a URL, use that instead."""
        return real_path(Path(self.root) / self.path)

    @property
    def exists(self) -> bool | None:
        """Whether the file is there now; for an image inside a tar, the tar. None: behind a URL, or not to be seen."""
        if self.is_remote:
            return None
        try:
            file = self.file
            if file.exists():
                return True
            # a folder that is gone takes one more look; only of an image in a tar a parent is a file
            parent = next(parent for parent in file.parents if parent.exists())
            return parent.is_file()
        except (OSError, ValueError):
            return None


class Term(NamedTuple):
    """A factor of a hit's score: as a query, what it contributed in [0, 1], and its labels' scores."""

    query: str
    score: float
    label_scores: dict[str, float]


class Explanation(NamedTuple):
    """Why an image was found: the product of the terms' scores is the hit's. Filters chose it and contribute 1."""

    hit: Hit
    terms: list[Term]


def to_arrow(hits: Sequence[Hit]) -> "pa.Table":
    """Return hits as a table: score, path, root, location, labels, exists, unfamiliar, then `score:LABEL` a label."""
    # a tenth of the time that a keyword query takes as a process
    import pyarrow as pa

    scored = dict.fromkeys(label for hit in hits for label in hit.label_scores)
    names = [("score", pa.float64()), *((name, pa.string()) for name in ("path", "root", "location"))]
    # the prefix: `path` is a label of photographs too
    names += [
        ("labels", pa.list_(pa.string())),
        ("exists", pa.bool_()),
        ("unfamiliar", pa.bool_()),
        *((f"score:{label}", pa.float64()) for label in scored),
    ]
    rows = [
        hit._asdict()
        | {"location": hit.location, "exists": hit.exists}
        | {f"score:{label}": score for label, score in hit.label_scores.items()}
        for hit in hits
    ]
    return pa.Table.from_pylist(rows, pa.schema(names))
