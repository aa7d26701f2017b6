"""Photographs of your own: a folder, and who says which labels they have (`type: folder`, under any name).

Labels come from a table (`tables`), from the names of the folders or from keywords (`without_table`); splits from a
table, or from what is in the files (`splits`). No photograph is copied. From Python, without params.yaml:
`read_folder`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import Meta

from aaam_pipeline.core.artifacts import path_text, real_path
from aaam_pipeline.core.disk_names import DiskNames
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.params import Struct
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.text import counted
from aaam_pipeline.datasets import copies
from aaam_pipeline.datasets.folder.splits import by_content
from aaam_pipeline.datasets.folder.tables import LabelTable, read_labels, read_splits, some
from aaam_pipeline.datasets.folder.without_table import FOLDERS, SOURCES
from aaam_pipeline.datasets.listing import SPLITS, Example, Listing

FEW = 10
"""Photographs with a label: with fewer to train on or to test on it is named."""
NAMED = 8
FILE = "listing.parquet"
# (examples, split -> share, seed, report) -> the split of each example, `train` or one of those named
Divide = Callable[[Sequence[Example], dict[str, float], int, Reporter], list[str]]


class FolderParams(Struct, frozen=True):
    """The `data` section of a data set of type `folder` in params.yaml.

    `root`: the folder; None: AAAM_DATA_DIR's subfolder of the data set's name, or itself. `images`: the folder in it
    that the paths of tables begin at. `labels`: a table below `root`; `folders`: the names of the folders below
    `images` that a photograph is in; `keywords`: those in its file and sidecars. `unlisted`: whether a label that
    nothing is said of is `no` or `unknown`; None: `no` for names of folders, else `unknown`. `splits`: a table below
    `root`; None: by what is in the files. `val`, `test`: the shares that are drawn by `seed`, `test` only without a
    table.
    """

    type: Literal["folder"] = "folder"
    root: str | None = None
    images: str = "."
    labels: str = "labels.csv"
    # YAML reads a plain `no` as false
    unlisted: Literal["no", "unknown"] | bool | None = None
    splits: str | None = None
    val: Annotated[float, Meta(gt=0, lt=0.5)] = 0.1
    test: Annotated[float, Meta(gt=0, lt=0.5)] = 0.2
    seed: int = 7

    def __post_init__(self) -> None:
        """Refuse `unlisted: yes`."""
        if self.unlisted is True:
            raise ValueError("unlisted is no or unknown")

    @property
    def unlisted_is_no(self) -> bool:
        """Return whether a label that nothing is said of is not there."""
        return self.labels == FOLDERS if self.unlisted is None else self.unlisted in (False, "no")


class FolderDataset:
    """A data set of type `folder`, by its name."""

    Params = FolderParams

    def __init__(self, name: str) -> None:
        self.name = name

    def download(self, params: FolderParams, out: Path, report: Reporter) -> None:
        """Write which photographs have which labels, and are in which split, into the folder `out`.

        Raises:
            DatasetError: as `read_folder`.
        """
        write_listing(read_folder(self.name, params, report), out / FILE)

    def read(self, raw: Path, params: FolderParams) -> Listing:
        """Read what `download` wrote.

        Raises:
            DatasetError: it is not there, or damaged.
        """
        return read_listing(raw / FILE, f"run `dvc repro -f download@{self.name}`")


def divide_by_content(examples: Sequence[Example], shares: dict[str, float], seed: int, report: Reporter) -> list[str]:
    """Divide by what is in the files: `splits.by_content`."""
    return by_content([each.path for each in examples], shares, seed, report)


def read_folder(
    name: str,
    params: FolderParams,
    report: Reporter,
    divide: Divide = divide_by_content,
    unlisted_no: str = "set unlisted: no",
) -> Listing:
    """Return the photographs of a folder with their labels and splits; `name` is the data set's in messages.

    A photograph of which no label is known is left out. `divide` draws the splits that no table names. `unlisted_no`:
    how one says that what is not listed is not there, in messages.

    Raises:
        DatasetError: there is no such folder or table, a table is wrong or names a photograph that is not there, or
            there are too few photographs, or no word of what they have not.
    """
    # what a folder that is found must hold: of the names of folders anything
    root = copies.find_root(name, params.root, "*" if params.labels in SOURCES else params.labels)
    if root is None:
        raise DatasetError(
            f"{name}: no folder of photographs: set {name}.data.root, or AAAM_DATA_DIR to the folder that holds {name}/"
        )
    base = root / params.images
    if not base.is_dir():
        raise DatasetError(f"{name}: no folder {base}")
    source = SOURCES.get(params.labels)
    table = source(base, report) if source else read_labels(root / params.labels)
    paths = _found(table, base)
    report.info(f"{name}: {counted(len(paths), 'photograph', ',')} found in {base}")
    examples = _examples(table, paths, params.unlisted_is_no, unlisted_no)
    splits = _splits(examples, root, params, report, divide)
    return Listing(tuple(table.labels), splits, note=_note(name, table, splits))


def _found(table: LabelTable, base: Path) -> list[Path]:
    """Return the file of each image of a table; a name may be written in another Unicode form than the disk has."""
    disk = DiskNames()
    paths = [Path(disk.find(str(base / image))) for image in table.images]
    missing = [image for image, path in zip(table.images, paths, strict=True) if not path.is_file()]
    if len(missing) == len(paths):
        raise DatasetError(
            f"{table.source}: none of its {counted(len(paths), 'image', ',')} is in {base}, not even {missing[0]}: "
            "paths begin in that folder"
        )
    if missing:
        counts = f"{len(missing):,} of its {counted(len(paths), 'image', ',')} {'is' if len(missing) == 1 else 'are'}"
        raise DatasetError(f"{table.source}: {counts} not in {base}: {some(missing)}")
    if len(set(paths)) < len(paths):
        twin = next(path for path, count in Counter(paths).items() if count > 1)
        raise DatasetError(f"{table.source}: {twin} is listed twice, in two Unicode forms")
    return paths


def _examples(table: LabelTable, paths: list[Path], unlisted_is_no: bool, how: str) -> list[Example]:
    """Return the images of a table of which anything is known; `how` one makes unlisted labels a no, in messages.

    Raises:
        DatasetError: of a label no image is known to be without it.
    """
    names, ends = np.array(table.labels, object), np.searchsorted(table.rows_P, np.arange(1, len(paths)))
    parts = [np.split(each, ends) for each in (table.columns_P, table.values_P)]
    examples, lacked = [], np.zeros(len(names), bool)
    for image, path, columns, values in zip(table.images, paths, *parts, strict=True):
        absent = np.zeros(len(names), bool)
        absent[columns[values == 0]] = True
        if unlisted_is_no:
            absent = np.ones(len(names), bool)
            absent[columns[values != 0]] = False
        held = columns[values > 0]
        if not len(held) and not absent.any():
            continue
        lacked |= absent
        complete = len(held) + int(absent.sum()) == len(names)
        examples.append(Example(image, path, tuple(names[held]), None if complete else tuple(names[absent])))
    if not lacked.all():
        always = [label for label, each in zip(table.labels, lacked, strict=True) if not each]
        says_no = f"say no of some images, or {how}, if what is not listed is not there"
        raise DatasetError(
            f"{table.source}: no image is known to be without {some(always)}: there is nothing to tell apart; "
            f"{'add images that lack it' if unlisted_is_no else says_no}"
        )
    return examples


def _splits(
    examples: list[Example], root: Path, params: FolderParams, report: Reporter, divide: Divide
) -> dict[str, list[Example]]:
    """Return the examples of each split.

    A table that has train and one held-out part, whatever its name, says what is tested on: validation is then drawn
    from its train, since what chooses must not be what judges.
    """
    shares = {"test": params.test, "val": params.val}
    splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
    rest = examples
    if params.splits is not None:
        table = root / params.splits
        said = read_splits(table)
        if outside := [each.image_id for each in examples if each.image_id not in said]:
            raise DatasetError(
                f"{table}: in no split: {counted(len(outside), 'image', ',')} with labels: {some(outside)}"
            )
        for example in examples:
            splits[said[example.image_id]].append(example)
        rest, held_out = splits["train"], [split for split in SPLITS[1:] if splits[split]]
        if not rest or not held_out:
            raise DatasetError(f"{table}: it must have train, and val or test or both, for images with labels")
        if len(held_out) == len(SPLITS[1:]):
            return splits
        # what is held out of the drawing, whatever its name
        splits["test"] = splits.pop(held_out[0])
        shares = {"val": params.val}
    drawn = divide(rest, shares, params.seed, report)
    for split in ("train", *shares):
        splits[split] = [example for example, each in zip(rest, drawn, strict=True) if each == split]
    return {split: splits[split] for split in SPLITS}


def _note(name: str, table: LabelTable, splits: dict[str, list[Example]]) -> str:
    """Return a line: how many photographs and labels there are, and which labels have few photographs."""
    counts = {split: len(splits[split]) for split in SPLITS}
    parts = [
        f"{name}: {counted(len(table.labels), 'label', ',')}; "
        + ", ".join(f"{count:,} {each}" for each, count in counts.items())
    ]
    if left_out := len(table.images) - sum(counts.values()):
        parts.append(f"left out: {counted(left_out, 'image', ',')} of which nothing is known")
    known = sum(_known(example, len(table.labels)) for examples in splits.values() for example in examples)
    if (pairs := sum(counts.values()) * len(table.labels)) > known:
        parts.append(f"{known / pairs:.0%} of all pairs of image and label are known")
    for split in ("train", "test"):
        held = Counter(label for example in splits[split] for label in example.labels)
        few = sorted((held[label], label) for label in table.labels if held[label] < FEW)
        if few:
            named = ", ".join(f"{label} {count}" for count, label in few[:NAMED]) + (
                ", ..." if len(few) > NAMED else ""
            )
            verb = "has" if len(few) == 1 else "have"
            parts.append(f"{counted(len(few), 'label')} {verb} fewer than {FEW} photographs in {split}: {named}")
    return "; ".join(parts)


def _known(example: Example, labels: int) -> int:
    return labels if example.absent is None else len(example.labels) + len(example.absent)


def write_listing(listing: Listing, path: Path) -> None:
    """Write a listing as Parquet: image_id, path, split, labels, absent; its labels and note are in the metadata."""
    rows = [(split, each) for split, examples in listing.splits.items() for each in examples]
    columns = {
        "image_id": pa.array([each.image_id for _, each in rows], pa.string()),
        "path": pa.array([path_text(each.path) for _, each in rows], pa.string()),
        "split": pa.array([split for split, _ in rows], pa.string()),
        "labels": pa.array([each.labels for _, each in rows], pa.list_(pa.string())),
        "absent": pa.array([each.absent for _, each in rows], pa.list_(pa.string())),
    }
    metadata = {"labels": msgspec.json.encode(listing.labels), "note": listing.note}
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), path, compression="zstd")


def read_listing(path: Path, advice: str) -> Listing:
    """Read what `write_listing` wrote.

    Raises:
        DatasetError: it is not there, or damaged; the message ends with `advice`.
    """
    try:
        table = pq.read_table(path)
        labels = msgspec.json.decode(table.schema.metadata[b"labels"], type=tuple[str, ...])
        note = table.schema.metadata[b"note"].decode()
        # one text a label, and not one a pair
        named = {label: label for label in labels}
        splits: dict[str, list[Example]] = {split: [] for split in SPLITS}
        rows = (table[name].to_pylist() for name in ("image_id", "path", "split", "labels", "absent"))
        for image, found, split, held, lacked in zip(*rows, strict=True):
            absent = None if lacked is None else tuple(named[label] for label in lacked)
            example = Example(image, real_path(Path(found)), tuple(named[label] for label in held), absent)
            splits[split].append(example)
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read ({error}); {advice}") from None
    return Listing(labels, splits, note=note)
