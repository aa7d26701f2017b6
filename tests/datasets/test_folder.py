"""Pictures of one's own in a folder, with a table of labels."""

from pathlib import Path

import pytest
from conftest import make_photo

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import folder
from aaam_pipeline.datasets.folder import FolderParams
from aaam_pipeline.datasets.listing import Listing


def listed(root: Path, table: bytes, **settings: object) -> Listing:
    (root / "labels.csv").write_bytes(table)
    raw = root.parent / "raw"
    raw.mkdir(exist_ok=True)
    params = FolderParams(**{"root": str(root)} | settings)  # type: ignore[arg-type]
    folder.download(params, raw, NullReporter())
    return folder.read(raw, params)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(20):
        make_photo(tmp_path / "root" / "ä b" / f"{number}.png", number)
    return tmp_path / "root"


def test_the_table_says_labels_and_the_seed_draws_the_splits(root: Path) -> None:
    lines = ["\ufeffPath,labels", "", *(f'"ä b/{number}.png", b, b,a,' for number in range(19)), "ä b/19.png"]
    table = "\r\n".join(lines).encode()
    listing = listed(root, table)
    assert listing.labels == ("a", "b")
    assert {split: len(examples) for split, examples in listing.splits.items()} == {"train": 14, "val": 2, "test": 4}
    by_id = {example.image_id: example for examples in listing.splits.values() for example in examples}
    assert by_id["ä b/4.png"] == ("ä b/4.png", root / "ä b" / "4.png", ("b", "a"))
    assert by_id["ä b/19.png"].labels == ()
    assert len(by_id) == 20
    assert listed(root, table) == listing != listed(root, table, seed=8)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("ä b/1.png,a\nä b/1.png,b", r"labels\.csv, line 2: image ä b/1\.png is listed twice, with different"),
        ("ä b/1.png,a\n ,b", r"labels\.csv, line 2: it has no path"),
        ("ä b/1.png,a\nä b/77.png,b", r"labels\.csv: 1 files are not in .*, the first: ä b/77\.png"),
        ('ä b/1.png,"a', r"labels\.csv, after line 1: no CSV"),
        ("ä b/1.png,\udce4", r"labels\.csv is not text in UTF-8"),
        ("ä b/1.png,a\nä b/2.png,a", "leaves none to train on"),
        ("path;labels\nä b/1.png;a", r"labels\.csv, line 1: separate cells by commas"),
        ("path,labels", r"labels\.csv: it lists no picture"),
        ("../x.png,a", r"labels\.csv, line 1: \.\./x\.png is no path inside the folder"),
        ("ä b/1.png,a\n/etc/x.png,a", r"labels\.csv, line 2: /etc/x\.png is no path inside the folder"),
        ("ä b/1.png,a\0b", r"labels\.csv, line 1: a cell holds a control character: 'a\\x00b'"),
        ('ä b/1.png,"a\nb"', r"a cell holds a control character: 'a\\nb'"),
        ("ä b/1.png,a\na\u0308 b/1.png,a", r"labels\.csv: ä b/1\.png is listed twice, in two Unicode forms"),
    ],
)
def test_a_table_that_is_wrong_is_one_line(table: str, said: str, root: Path) -> None:
    with pytest.raises(DatasetError, match=rf"^[^\n]*{said}[^\n]*$"):
        listed(root, table.encode(errors="surrogateescape"))


def test_names_may_be_written_in_another_unicode_form(root: Path) -> None:
    listing = listed(root, "\n".join(f"./a\u0308 b/{number}.png,a" for number in range(20)).encode())
    examples = [example for split in listing.splits.values() for example in split]
    assert {example.path.parent for example in examples} == {root / "ä b"}
    assert {example.image_id for example in examples} == {f"a\u0308 b/{number}.png" for number in range(20)}


def test_a_picture_listed_again_with_the_same_labels_is_taken_once(root: Path) -> None:
    listing = listed(root, "\n".join([f"ä b/{number}.png,a,b" for number in range(20)] + ["ä b/3.png,b,a"]).encode())
    assert listing.note == "folder: labels.csv: 1 image is listed again with the same labels, and taken once: ä b/3.png"
    assert sum(map(len, listing.splits.values())) == 20


def test_without_a_folder_or_table_it_is_said_what_to_set(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AAAM_DATA_DIR", raising=False)
    with pytest.raises(DatasetError, match=r"set folder\.data\.root to the folder .*which holds labels"):
        folder.download(FolderParams(), root, NullReporter())
    with pytest.raises(DatasetError, match=r"holds no other\.csv; folder\.data\.table names another"):
        folder.download(FolderParams(str(root), "other.csv"), root, NullReporter())
