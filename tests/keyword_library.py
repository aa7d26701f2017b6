"""A folder of photographs with annotations, and the commands that write keywords beside them."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from labelled import annotate_files
from xmp_samples import listed

from aaam_pipeline.curation.ledger import Ledger
from aaam_pipeline.formats import decisions
from aaam_pipeline.formats.decisions import Decision, Decisions

WORDS = ["dog", "cat", "car", "a/b", "one, two"]
FIELDS = ["dc:subject", "lr:hierarchicalSubject", "digiKam:TagsList"]
Labels = Mapping[str, Mapping[str, float]]


class Library:
    """A folder of photographs with annotations, and the command that writes keywords."""

    def __init__(self, root: Path, invoke: Callable[..., Any]) -> None:
        self.root, self.invoke = root, invoke
        self.photos = root / "photos"
        self.ledger = root / "decisions.jsonl"

    def add(self, *names: str) -> None:
        for name in names:
            path = self.photos / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"\xff\xd8\xff\xd9" + name.encode())

    def annotate(self, labels: Labels) -> None:
        self.add(*(name for name in labels if not (self.photos / name).exists()))
        annotate_files(self.root / "annotations", self.photos, labels, WORDS)

    def write(self, *options: str, code: int = 0) -> Any:
        result = self.invoke("keywords", "write", *options)
        assert result.exit_code == code, result.output
        return result

    def undo(self, *options: object) -> Any:
        result = self.invoke("keywords", "undo", *options)
        assert result.exit_code == 0, result.output
        return result

    def sidecar(self, name: str) -> Path:
        return self.photos / name

    def texts(self, name: str, field: str = "dc:subject") -> list[str]:
        return listed(self.sidecar(name).read_bytes(), field)

    def names(self) -> set[str]:
        return {str(path.relative_to(self.photos)) for path in self.photos.rglob("*") if path.is_file()}

    def decide(self, name: str, label: str, value: str, by: str = "person", at: str = "") -> None:
        sha256 = hashlib.sha256((self.photos / name).read_bytes()).hexdigest()
        Ledger(self.ledger).append([Decision(sha256=sha256, label=label, value=value, by=by, source="anna", at=at)])  # type: ignore[arg-type]

    def decided(self) -> Decisions:
        return decisions.read(self.ledger)

    def verdicts(self, name: str) -> dict[str, str]:
        found = self.decided().of_image(hashlib.sha256((self.photos / name).read_bytes()).hexdigest())
        return {label: f"{verdict.by} {verdict.value}" for label, verdict in found.items()}


def edit(path: Path, change: Callable[[str], str]) -> None:
    """Change a sidecar as another program does."""
    before = path.read_text("utf8")
    after = change(before)
    assert after != before
    path.write_text(after, "utf8")


def dogs(names: list[str]) -> Labels:
    return {name: {"dog": 0.9} for name in names}


def without(word: str) -> Callable[[str], str]:
    return lambda text: text.replace(f"<rdf:li>{word}</rdf:li>", "")


def within(field: str, old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        start, end = text.index(f"<{field}"), text.index(f"</{field}")
        return text[:start] + text[start:end].replace(old, new) + text[end:]

    return change
