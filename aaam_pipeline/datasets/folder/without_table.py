"""Labels that no table says: the names of the folders that photographs are in, or the keywords that they have.

Keywords are those of `formats.file_keywords`: what people wrote into photographs and sidecars, and nothing of ours.
"""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unicodedata import normalize

import numpy as np

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.text import counted
from aaam_pipeline.datasets import copies
from aaam_pipeline.datasets.folder.tables import LabelTable, checked, some
from aaam_pipeline.formats import file_keywords
from aaam_pipeline.imaging import sidecar_names
from aaam_pipeline.imaging.formats import SUFFIXES

FOLDERS, KEYWORDS = "folders", "keywords"
FEWEST = 10
"""Photographs that have a keyword: one with fewer is no label. People have many keywords for a single photograph."""
THREADS = 8


def from_folders(base: Path, report: Reporter) -> LabelTable:
    """Return the photographs below a folder, each with the names of all folders between: `animals/dog/1.jpg` has two.

    Hidden files and folders, whose names begin with a dot, are left out.

    Raises:
        DatasetError: there is no photograph, or none in a folder; names are no labels.
    """
    images = _images(base)
    labels = [list(dict.fromkeys(image.split("/")[:-1])) for image in images]
    if not any(labels):
        raise DatasetError(f"{base}: its photographs are in no folders, whose names would be their labels")
    return _table(base, images, labels)


def from_keywords(base: Path, report: Reporter) -> LabelTable:
    """Return the photographs below a folder that have keywords, each with those that `FEWEST` photographs have.

    Of a keyword in a tree (`animals/dog`) the last level is the label. What cannot be read is named, and left out.

    Raises:
        DatasetError: there is no photograph, none has keywords, or too few have the same.
    """
    images, sidecars = _images(base), sidecar_names.finder()

    def words_of(image: str) -> tuple[list[str], str]:
        try:
            found = file_keywords.read(base / image, sidecars(base / image))
        except OSError as error:
            return [], error.strerror or str(error)
        return [keyword.path[-1] for keyword in found.keywords], "; ".join(found.faults)

    with ThreadPoolExecutor(THREADS) as pool, report.task("keywords", len(images)) as advance:
        read = []
        for each in pool.map(words_of, images):
            read.append(each)
            advance(1)
    if faulty := [f"{image}: {why}" for image, (_, why) in zip(images, read, strict=True) if why]:
        report.info(f"keywords of {counted(len(faulty), 'photograph', ',')} cannot be read: {some(faulty)}")
    # the spelling that most photographs have
    spelled = Counter(word for words, _ in read for word in words)
    label_of: dict[str, str] = {}
    for word, _ in spelled.most_common():
        label_of.setdefault(_key(word), word)
    labels = [list(dict.fromkeys(label_of[_key(word)] for word in words)) for words, _ in read]
    held = Counter(label for each in labels for label in each)
    if not held:
        raise DatasetError(f"{base}: none of its {counted(len(images), 'photograph', ',')} has keywords")
    kept = {label for label, count in held.items() if count >= FEWEST and label.isprintable()}
    if not kept:
        most = ", ".join(f"{label} {count}" for label, count in held.most_common(3))
        raise DatasetError(f"{base}: no keyword is on {FEWEST} photographs or more; most have {most}")
    if rare := [label for label, _ in held.most_common() if label not in kept]:
        words = counted(len(rare), "keyword", ",")
        report.info(f"left out: {words} on fewer than {FEWEST} photographs: {some(rare)}")
    chosen = [(image, each) for image, each in zip(images, labels, strict=True) if each]
    return _table(base, [image for image, _ in chosen], [[x for x in each if x in kept] for _, each in chosen])


def _images(base: Path) -> list[str]:
    found = (path.relative_to(base) for path in copies.photographs(base, SUFFIXES))
    images = sorted(path.as_posix() for path in found if not any(part.startswith(".") for part in path.parts))
    if not images:
        raise DatasetError(f"{base}: there is no photograph in it")
    return images


def _table(base: Path, images: list[str], labels_N: list[list[str]]) -> LabelTable:
    labels = sorted({label for each in labels_N for label in each})
    column_of = {label: column for column, label in enumerate(labels)}
    pairs = [(row, column_of[label]) for row, each in enumerate(labels_N) for label in each]
    rows_P, columns_P = (np.array(each, np.int64) for each in zip(*pairs, strict=True))
    return checked(LabelTable(str(base), images, labels, rows_P, columns_P, np.ones(len(pairs), np.int8)))


def _key(word: str) -> str:
    """Return what is equal for words that are no two labels: see `vocabulary.fault_of_labels`."""
    return " ".join(normalize("NFKC", normalize("NFKC", word).casefold()).split())


SOURCES = {FOLDERS: from_folders, KEYWORDS: from_keywords}
"""What `labels` may be instead of a table."""
