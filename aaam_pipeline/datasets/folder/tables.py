"""Tables about photographs: which labels they have, in two forms, and which split they are in.

    image,label,value        long: a row a pair; without `value` every row is a yes
    image,dog,cat,...        wide: a column a label
    image,split              splits

CSV in UTF-8 with commas, semicolons or tabs, also gzip-compressed, or Parquet. A heading is needed; `path` does for
`image`. Shapes: P pairs of an image and a label.
"""

import csv
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from aaam_pipeline.core import csv_rows
from aaam_pipeline.core.errors import DatasetError, from_system
from aaam_pipeline.core.logging import CONTROLS
from aaam_pipeline.datasets.listing import SPLITS
from aaam_pipeline.formats.targets import UNKNOWN
from aaam_pipeline.formats.vocabulary import fault_of_labels

IMAGE, LABEL, VALUE, SPLIT = ("image", "path"), ("label",), ("value",), ("split",)
SEVERAL = ("labels", "tags", "keywords")
"""What people call a column of words: none of them is a word itself."""
NOT_SAID = -2
"""An empty cell of a wide table: as if the pair were not listed."""
VALUES = {"1": 1, "yes": 1, "true": 1, "1.0": 1, "0": 0, "no": 0, "false": 0, "0.0": 0}
DELIMITERS = (",", ";", "\t")
NAMED = 3
LONGEST_ROW = 2**24

Ids = NDArray[np.int64]


class LabelTable(NamedTuple):
    """What is said: of each pair once whether the image has the label, int8: 1 yes, 0 no, -1 expressly unknown.

    `rows_P`, `columns_P`: positions in `images` (paths with `/`) and `labels`, in this order. `source` is named in
    messages.
    """

    source: str
    images: list[str]
    labels: list[str]
    rows_P: Ids
    columns_P: Ids
    values_P: NDArray[np.int8]


def read_labels(path: Path) -> LabelTable:
    """Read a table of labels, long or wide.

    Raises:
        DatasetError: it is no such table, holds something that is neither yes nor no, says yes and no of one image and
            label, has a label twice (also in other case), or one that no image has.
    """
    table = _read(path)
    found = _columns(path, table, IMAGE, LABEL, VALUE)
    image, label, value = found
    if image is None or (label is None and len(table.column_names) < 1 + len([each for each in found if each])):
        heading = ", ".join(table.column_names)
        raise DatasetError(
            f"{path}: its first line must be a heading: image,label or image,label,value, or image and one column a "
            f"label; it is {_short(heading)!r}"
        )
    images, rows_N = _images(path, table[image])
    if label is None:
        names = [name for name in table.column_names if name != image]
        if len(names) == 1 and names[0].casefold() in SEVERAL:
            raise DatasetError(
                f"{path}: its column {names[0]!r} cannot hold several labels of an image; head it label, and give each "
                "of them a row"
            )
        return _wide(path, images, rows_N, table, names)
    labels, columns_P = _unique(path, table[label])
    values_P = np.ones(len(rows_N), np.int8)
    if value is not None:
        values_P = _values(path, table[value], UNKNOWN, lambda row: (images[rows_N[row]], labels[columns_P[row]]))
    if labels and not labels[0]:
        # a row without a label lists the image
        labels, said_N = labels[1:], columns_P > 0
        rows_N, columns_P, values_P = rows_N[said_N], columns_P[said_N] - 1, values_P[said_N]
    return checked(LabelTable(str(path), images, labels, rows_N, columns_P, values_P))


def read_splits(path: Path) -> dict[str, str]:
    """Return image -> split of a table `image,split`.

    Raises:
        DatasetError: it is no such table, has another word than train, val and test, or an image in two splits.
    """
    table = _read(path)
    image, split = _columns(path, table, IMAGE, SPLIT)
    if image is None or split is None:
        raise DatasetError(f"{path}: its first line must be the heading image,split; it is {_short(_heading(table))!r}")
    images, rows_N = _images(path, table[image])
    words, columns_N = _unique(path, table[split])
    if wrong := [each for each in words if each not in SPLITS]:
        raise DatasetError(f"{path}: a split is train, val or test, not {wrong[0]!r}")
    found: dict[str, str] = {}
    for row, column in zip(rows_N.tolist(), columns_N.tolist(), strict=True):
        if found.setdefault(images[row], words[column]) != words[column]:
            raise DatasetError(f"{path}: image {images[row]} is in {found[images[row]]} and in {words[column]}")
    return found


def checked(table: LabelTable) -> LabelTable:
    """Return a table with its labels in order, each pair once, and no label that nothing has.

    Raises:
        DatasetError: as `read_labels`.
    """
    source, images, labels = table[:3]
    if not images:
        raise DatasetError(f"{source}: it lists no image")
    if fault := fault_of_labels(labels):
        raise DatasetError(f"{source}: {fault}")
    known_P = table.values_P >= 0
    # known pairs first, so that of a pair that is listed twice the first is what is said of it
    order_P = np.lexsort([~known_P, table.columns_P, table.rows_P])
    rows_P, columns_P, values_P = table.rows_P[order_P], table.columns_P[order_P], table.values_P[order_P]
    again_P = np.zeros(len(order_P), bool)
    again_P[1:] = (np.diff(rows_P) == 0) & (np.diff(columns_P) == 0)
    other_P = again_P & (values_P >= 0) & (values_P != np.roll(values_P, 1))
    if other_P.any():
        pair = int(other_P.argmax())
        raise DatasetError(
            f"{source}: image {images[rows_P[pair]]} is said to have {labels[columns_P[pair]]!r}, and not to have it"
        )
    rows_P, columns_P, values_P = rows_P[~again_P], columns_P[~again_P], values_P[~again_P]
    held_L = np.bincount(columns_P[values_P > 0], minlength=len(labels))
    if nowhere := [label for label, held in zip(labels, held_L, strict=True) if not held]:
        raise DatasetError(f"{source}: no image has {some(nowhere)}; delete what is on no photograph")
    return LabelTable(source, images, labels, rows_P, columns_P, values_P)


def some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(map(repr, names[:NAMED])) + more


def _read(path: Path) -> pa.Table:
    """Read a file as a table whose columns are texts."""
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; docs/datasets.md says what a table of labels looks like")
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else _read_csv(path)
    except (OSError, EOFError, pa.ArrowException, UnicodeDecodeError) as error:
        if from_system(error):
            raise
        if isinstance(error, UnicodeDecodeError) or "UTF8" in str(error):
            raise DatasetError(f"{path} is not text in UTF-8; save it as CSV UTF-8") from None
        raise DatasetError(
            f"{path} cannot be read as a table, CSV in UTF-8 or .parquet: {_short(str(error), 200)}"
        ) from None
    columns = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        try:
            columns.append(_texts(column))
        except pa.ArrowException:
            raise DatasetError(
                f"{path}: its column {name!r} holds neither texts nor numbers, but {column.type}; a pair of an image "
                "and a label is a row of its own"
            ) from None
    return pa.table(columns, [name.strip() for name in table.column_names])


def _read_csv(path: Path) -> pa.Table:
    with pa.input_stream(str(path), compression="detect") as stream:
        text = stream.read()
    first = text[: 1 << 20].splitlines()[:1]
    heading = first[0].decode("utf-8-sig") if first else ""
    delimiter = max(DELIMITERS, key=heading.count)
    # else a column of dates or numbers would be read as such, and written another way
    names = next(csv.reader([heading], delimiter=delimiter), [])
    kinds = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    ended = len(names) < 2

    def skip_end(row: pa.csv.InvalidRow) -> str:
        nonlocal ended
        is_end = row.text == csv_rows.END
        ended |= is_end
        return "skip" if is_end else "error"

    lines = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip_end)
    if not ended:
        text = b"\n".join((text, csv_rows.END.encode()))
    table = pa.csv.read_csv(pa.BufferReader(text), pa.csv.ReadOptions(block_size=LONGEST_ROW), lines, kinds)
    if not ended:
        raise DatasetError(f"{path}, row {table.num_rows} below the heading: {csv_rows.UNCLOSED}")
    return table


def _texts(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column as texts without blanks around them, encoded as a dictionary; what is not there is empty."""
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    texts = pc.utf8_trim_whitespace(pc.fill_null(column.cast(pa.string()), ""))
    return texts.dictionary_encode()


def _heading(table: pa.Table) -> str:
    return ", ".join(table.column_names)


def _columns(path: Path, table: pa.Table, *wanted: tuple[str, ...]) -> list[str | None]:
    """Return the table's names of columns, None of one that it lacks."""
    found = []
    for names in wanted:
        own = [each for each in table.column_names if each.casefold() in names]
        if len(own) > 1:
            raise DatasetError(f"{path}: its heading has {' and '.join(own)}, and one of them is needed")
        found.append(own[0] if own else None)
    return found


def _unique(path: Path, column: pa.ChunkedArray) -> tuple[list[str], Ids]:
    """Return the texts of a column in order, and the position of each row's."""
    encoded = column.unify_dictionaries().combine_chunks()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = pa.concat_arrays(encoded.chunks) if encoded.num_chunks else pa.array([], column.type)
    texts = encoded.dictionary.to_pylist()
    if control := next((text for text in texts if CONTROLS.search(text)), None):
        quotes = "; is a quotation mark not closed there?" if "\n" in control else ""
        raise DatasetError(f"{path}: a cell holds a control character: {control[:80]!r}{quotes}")
    return _in_order(texts, encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64))


def _in_order(texts: list[str], codes_N: Ids) -> tuple[list[str], Ids]:
    ordered = sorted(set(texts))
    position = {text: number for number, text in enumerate(ordered)}
    return ordered, np.array([position[text] for text in texts], np.int64)[codes_N]


def _images(path: Path, column: pa.ChunkedArray) -> tuple[list[str], Ids]:
    """Return the images of a column in order, and the position of each row's."""
    named, rows_N = _unique(path, column)
    if named and not named[0]:
        raise DatasetError(f"{path}, row {int((rows_N == 0).argmax()) + 1} below the heading: it has no image")
    paths = [PurePosixPath(name) for name in named]
    for name in paths:
        if name.is_absolute() or ".." in name.parts:
            raise DatasetError(f"{path}: {name} is no path inside the folder")
    return _in_order([name.as_posix() for name in paths], rows_N)


def _wide(path: Path, images: list[str], rows_N: Ids, table: pa.Table, labels: list[str]) -> LabelTable:
    if fault := fault_of_labels(labels):
        raise DatasetError(f"{path}: {fault}")
    values_LN = np.stack(
        [
            _values(path, table[label], NOT_SAID, lambda row, label=label: (images[rows_N[row]], label))  # type: ignore[misc]
            for label in labels
        ]
    )
    columns_P, at_P = np.nonzero(values_LN != NOT_SAID)
    values_P: NDArray[np.int8] = values_LN[columns_P, at_P]
    return checked(LabelTable(str(path), images, labels, rows_N[at_P], columns_P.astype(np.int64), values_P))


def _values(
    path: Path, column: pa.ChunkedArray, empty: int, pair_of: Callable[[int], tuple[str, str]]
) -> NDArray[np.int8]:
    """Return 1, 0, -1 or, for an empty cell, `empty` of each row; `pair_of`: image and label of a row, for messages."""
    texts, codes_N = _unique(path, column)
    known: dict[str, int] = {"": empty, str(UNKNOWN): UNKNOWN, **VALUES}
    for code, text in enumerate(texts):
        if text.casefold() not in known:
            image, label = pair_of(int((codes_N == code).argmax()))
            raise DatasetError(
                f"{path}: image {image}, label {label!r}: {_short(text)!r} is neither yes (1, yes, true) nor no "
                "(0, no, false)"
            )
    values: NDArray[Any] = np.array([known[text.casefold()] for text in texts] or [empty], np.int8)
    return values[codes_N]


def _short(text: str, longest: int = 80) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= longest else plain[:longest] + "..."
