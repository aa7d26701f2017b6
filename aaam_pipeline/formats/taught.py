"""Words that a person taught: `taught.safetensors` beside the index; no model's own files are ever changed by them.

Shapes: W words, D embedding, N images.

A word is one line of the unit embedding: its score is sigmoid(w . e / |e| + b), calibrated as it is. Of each word the
file keeps that line, for which embedding it holds, by which photographs it was taught (their SHA-256, so that it can be
fitted again when the model changes), and how sure it is.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import fingerprint, write_bytes
from aaam_pipeline.core.errors import IntegrityError, UsageError, VersionError
from aaam_pipeline.core.text import counted, folded
from aaam_pipeline.formats.calibration import sigmoid

NAME = "taught.safetensors"
VERSION = 1


class TaughtWord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A word, and how it was taught.

    `embedding`: which embedding it is a line of (`model_ids.embedding_of`); `yes`, `no`: the SHA-256 of its examples;
    `threshold`: from which score on it is assigned; `ap`, `low`, `high`: average precision of cross-validation against
    the unlabelled photographs of the library, with its interval of 90 %; `unlabelled`: how many of these there were;
    `at`: when, in UTC; `how`: the method.
    """

    label: str
    embedding: str
    yes: list[str]
    no: list[str]
    threshold: float
    ap: float
    low: float
    high: float
    unlabelled: int
    at: str
    how: str

    @property
    def origin(self) -> str:
        """Say by what it was taught: `taught by you from 12 photographs`."""
        others = f" and {len(self.no)} without it" if self.no else ""
        return f"taught by you from {counted(len(self.yes), 'photograph')}{others}"


class TaughtLine(NamedTuple):
    """A taught word and its line: `weight_D`, float32, of unit embeddings, and `bias`."""

    word: TaughtWord
    weight_D: NDArray[np.float32]
    bias: float

    @property
    def digest(self) -> str:
        """Identify the word, its line and its threshold: what is computed with another is another column."""
        line = [np.asarray(self.weight_D, "<f4").tobytes().hex(), np.float32(self.bias).tobytes().hex()]
        return fingerprint([self.word.label, self.word.threshold, self.word.at, *line])[:16]


def path_beside(index: Path) -> Path:
    """Return where the taught words of an index lie if nothing else is said: in the folder that it lies in."""
    return index.absolute().parent / NAME


def scores(lines: Sequence[TaughtLine], embedding_ND: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the scores of taught words, (N, W) in [0, 1], from embeddings of any length."""
    wide_ND = np.asarray(embedding_ND, np.float32)
    unit_ND = wide_ND / np.maximum(np.linalg.norm(wide_ND, axis=1, keepdims=True), 1e-12)
    return from_products(lines, unit_ND @ weights(lines).T)


def weights(lines: Sequence[TaughtLine]) -> NDArray[np.float32]:
    """Return the weights of taught words, (W, D)."""
    return np.stack([line.weight_D for line in lines]).astype(np.float32)


def from_products(lines: Sequence[TaughtLine], products_NW: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return the scores, (N, W), from the inner products of weights and unit embeddings."""
    biases_W = np.array([line.bias for line in lines], np.float32)
    return sigmoid(products_NW + biases_W).astype(np.float32)


def of_embedding(lines: Iterable[TaughtLine], embedding: str) -> list[TaughtLine]:
    """Return the words that were taught with an embedding, by which alone they can be computed."""
    return [line for line in lines if line.word.embedding == embedding]


def find(lines: Iterable[TaughtLine], label: str) -> TaughtLine | None:
    """Return the word of a label, whatever its case and Unicode form, or None."""
    return next((line for line in lines if folded(line.word.label) == folded(label)), None)


def replaced(lines: Sequence[TaughtLine], new: TaughtLine) -> list[TaughtLine]:
    """Return the words with a new one, which takes the place of the one of its label."""
    old = find(lines, new.word.label)
    return [*lines, new] if old is None else [new if line is old else line for line in lines]


def write(path: Path, lines: Sequence[TaughtLine]) -> None:
    """Write taught words, atomically."""
    from safetensors.numpy import save

    words = msgspec.json.encode([line.word for line in lines]).decode()
    tensors = {str(number): np.append(line.weight_D, line.bias).astype("<f4") for number, line in enumerate(lines)}
    write_bytes(path, save(tensors, {"version": str(VERSION), "words": words, "hash": _hash(words, tensors)}))


def read(path: Path) -> list[TaughtLine]:
    """Read what `write` wrote; a file that is not there holds no words.

    Raises:
        VersionError: a newer version of this program wrote it.
        IntegrityError: it is damaged.
        UsageError: it is a folder.
    """
    from safetensors import SafetensorError, safe_open

    if path.is_dir():
        raise UsageError(f"{path} is a folder; name the file of taught words, such as {path / NAME}")
    if not path.exists():
        return []
    try:
        with safe_open(path, "np") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        version, text, said = int(facts["version"]), facts["words"], facts["hash"]
        if version > VERSION:
            raise VersionError(f"{path} was written by a newer version of aaam-pipe; use that")
        words = msgspec.json.decode(text, type=list[TaughtWord])
        lines = [(word, tensors[str(number)]) for number, word in enumerate(words)]
    except (SafetensorError, KeyError, ValueError, msgspec.DecodeError) as error:
        raise IntegrityError(f"{path} holds no taught words: {' '.join(str(error).split())}") from None
    if said != _hash(text, tensors):
        raise IntegrityError(
            f"{path} is damaged: its hash is another; restore a copy of it, or move it away and teach again"
        )
    return [TaughtLine(word, line_D[:-1], float(line_D[-1])) for word, line_D in lines]


def _hash(words: str, tensors: dict[str, NDArray[np.float32]]) -> str:
    return fingerprint([words, *(tensors[name].tobytes().hex() for name in sorted(tensors))])
