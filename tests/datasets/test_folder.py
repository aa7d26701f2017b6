"""Photographs of one's own: who says which labels they have, in every form, and what is refused in one line."""

import gzip
import io
import re
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from conftest import Said, make_photo

from aaam_pipeline.core.errors import DatasetError, ParamsError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import registry
from aaam_pipeline.datasets.folder import FolderDataset, FolderParams, read_folder
from aaam_pipeline.datasets.folder.tables import read_labels
from aaam_pipeline.datasets.listing import Example, Listing
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.datasets.prepared import read_manifest, read_split

NAMES = [f"ä b/{number}.png" for number in range(20)]
SAID = {
    "dog": lambda number: number % 2,
    "cat": lambda number: "yes" if number % 3 else "No",
    "Sea": lambda number: "" if number % 5 else "TRUE",
}
LONG = "image,label,value,source\n" + "".join(
    f"{name},{label},{value(number)},person\n"
    for number, name in enumerate(NAMES)
    for label, value in SAID.items()
    if not (label == "cat" and number == 7)
) + f"{NAMES[1]},Sea,0,person\n"  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, name in enumerate(NAMES):
        make_photo(tmp_path / "root" / name, number)
    return tmp_path / "root"


def listed(root: Path, table: str | bytes = LONG, name: str = "labels.csv", **settings: object) -> Listing:
    (root / name).write_bytes(table.encode() if isinstance(table, str) else table)
    return read_folder("mine", FolderParams(**{"root": str(root), "labels": name} | settings), NullReporter())  # type: ignore[arg-type]


def by_id(listing: Listing) -> dict[str, Example]:
    return {example.image_id: example for examples in listing.splits.values() for example in examples}


def wide(text: str = LONG) -> pa.Table:
    """Return the wide form of a long table: a column a label."""
    rows = pyarrow.csv.read_csv(io.BytesIO(text.encode())).to_pylist()
    said = {(row["image"], row["label"]): row["value"] for row in rows if row["value"] != ""}
    columns = {label: [said.get((name, label)) for name in NAMES] for label in ("Sea", "cat", "dog")}
    return pa.table({"image": NAMES} | columns)


def csv_of(table: pa.Table, delimiter: str = ",") -> bytes:
    stream = io.BytesIO()
    pyarrow.csv.write_csv(table, stream, pyarrow.csv.WriteOptions(delimiter=delimiter))
    return stream.getvalue()


def parquet_of(table: pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def test_what_is_not_said_is_unknown(root: Path) -> None:
    listing = listed(root)
    assert listing.labels == ("Sea", "cat", "dog")
    found = by_id(listing)
    assert len(found) == 20
    assert (found[NAMES[0]].labels, found[NAMES[0]].absent) == (("Sea",), None)
    assert (found[NAMES[1]].labels, found[NAMES[1]].absent) == (("cat", "dog"), None)
    assert (found[NAMES[2]].labels, found[NAMES[2]].absent) == (("cat",), ("dog",))
    assert (found[NAMES[7]].labels, found[NAMES[7]].absent) == (("dog",), ())


def test_unlisted_no_is_no_but_what_is_expressly_unknown(root: Path) -> None:
    found = by_id(listed(root, unlisted="no"))
    assert (found[NAMES[7]].labels, found[NAMES[7]].absent) == (("dog",), ("cat",))
    assert found == by_id(listed(root, unlisted=False))
    # an empty cell of a wide table is a pair that is not listed
    cells = by_id(listed(root, csv_of(wide()), unlisted="no"))
    assert (cells[NAMES[7]].labels, cells[NAMES[7]].absent) == (("dog",), None)
    unknown = csv_of(wide()).replace(f'"{NAMES[7]}",,'.encode(), f'"{NAMES[7]}",-1,'.encode())
    assert by_id(listed(root, unknown, unlisted="no"))[NAMES[7]].absent == ("cat",)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("labels.csv", b"\xef\xbb\xbf" + LONG.replace("\n", "\r\n").encode()),
        ("labels.csv.gz", gzip.compress(LONG.encode())),
        ("labels.tsv", LONG.replace(",", "\t").encode()),
        ("labels.csv", LONG.replace(",", ";").replace("image", " Path ").encode()),
        ("labels.csv", csv_of(wide())),
        ("labels.csv", csv_of(wide(), ";")),
        ("labels.csv", b'"image","sea","cat","dog"\n'.replace(b"sea", b"Sea") + csv_of(wide()).split(b"\n", 1)[1]),
        ("labels.parquet", parquet_of(wide())),
        ("labels.parquet", parquet_of(pyarrow.csv.read_csv(io.BytesIO(LONG.encode())))),
        ("labels.csv", LONG.replace("ä b/", "./ä b//").encode()),
    ],
)
def test_all_forms_say_the_same(name: str, table: bytes, root: Path) -> None:
    assert listed(root, table, name) == listed(root)


def test_a_table_without_values_lists_what_is_there(root: Path) -> None:
    table = "image,label\n" + "".join(f"{name},{'ab'[number % 2]}\n" for number, name in enumerate(NAMES[:18]))
    found = by_id(listed(root, table + f"{NAMES[18]},\n", unlisted="no"))
    assert {example.labels for example in found.values()} == {("a",), ("b",), ()}
    assert len(found) == 19
    assert all(example.absent is None for example in found.values())
    with pytest.raises(DatasetError, match=r"is known to be without 'a', 'b': .*or set unlisted: no, if [^-]*$"):
        listed(root, table)


def test_numbers_and_truths_of_parquet_are_values(root: Path) -> None:
    truths = pa.table({"image": NAMES, "a": [n % 2 == 0 for n in range(20)], "b": [1.0, np.nan, 0.0, 1.0] * 5})
    found = by_id(listed(root, parquet_of(truths), "labels.parquet"))
    assert [(found[name].labels, found[name].absent) for name in NAMES[:3]] == [
        (("a", "b"), None), ((), ("a",)), (("a",), None),
    ]  # fmt: skip


def test_folders_are_labels(tmp_path: Path) -> None:
    for number in range(12):
        make_photo(tmp_path / "pictures" / ("animals/dog", "animals/cat", "sea")[number % 3] / f"{number}.png", number)
    make_photo(tmp_path / "pictures" / "none.png", 77)
    make_photo(tmp_path / "pictures" / ".hidden" / "x.png", 78)
    params = FolderParams(root=str(tmp_path / "pictures"), labels="folders")
    listing = read_folder("mine", params, NullReporter())
    assert listing.labels == ("animals", "cat", "dog", "sea")
    found = by_id(listing)
    assert found["animals/dog/0.png"].labels == ("animals", "dog")
    assert found["none.png"].labels == ()
    assert len(found) == 13
    assert all(example.absent is None for example in found.values())
    with pytest.raises(DatasetError, match="no image is known to be without 'animals', 'cat', 'dog' and 1 more"):
        read_folder("mine", msgspec.structs.replace(params, unlisted="unknown"), NullReporter())


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (f"{LONG}x/77.png,dog,1,\n", r"labels\.csv: 1 of its 21 images is not in .*: 'x/77\.png'"),
        ("image,label,value\na.png,dog,1\nb.png,dog,0\n", r"none of its 2 images is in .*, not even a\.png"),
        (f"{LONG}{NAMES[3]},bird,maybe,\n", r"image ä b/3\.png, label 'bird': 'maybe' is neither yes .* nor no"),
        (f"{LONG}{NAMES[3]},bird,2,\n", r"label 'bird': '2' is neither yes \(1, yes, true\) nor no \(0, no, false\)"),
        (f"image,dog\n{NAMES[3]},?\n", r"image ä b/3\.png, label 'dog': '\?' is neither yes"),
        (f"{LONG}{NAMES[3]},bird,0,\n", r"no image has 'bird'; delete what is on no photograph"),
        (f"image,dog,bird\n{NAMES[3]},1,\n{NAMES[4]},0,\n", r"no image has 'bird'"),
        (f"{LONG}{NAMES[3]},DOG,1,\n", r"differ in case, blanks or Unicode form only: 'DOG' = 'dog'"),
        (f"image,dog,Dog\n{NAMES[3]},1,0\n", r"differ in case, .*'dog' = 'Dog'"),
        (f"image,dog,dog\n{NAMES[3]},1,0\n", r"labels are repeated"),
        (f"image,dog,\n{NAMES[3]},1,0\n", r"label 2 of 2 is blank"),
        (f"{LONG}{NAMES[3]},dog,0,\n", r"image ä b/3\.png is said to have 'dog', and not to have it"),
        (f"image,dog,cat\n{NAMES[3]},1,0\n{NAMES[3]},0,0\n", r"ä b/3\.png is said to have 'dog', and not"),
        (LONG.split("\n", 1)[1], r"first line must be a heading: .*; it is 'ä b/0\.png, dog, 0, person'"),
        ("image\nä b/0.png\n", r"its first line must be a heading: image,label .*; it is 'image'"),
        ("label,value\ndog,1\n", r"its first line must be a heading"),
        ("image,path,label\na,b,c\n", r"its heading has image and path, and one of them is needed"),
        ("image,label\n", r"labels\.csv: it lists no image"),
        (f"image,tags\n{NAMES[3]},dog|cat\n", r"its column 'tags' cannot hold several labels of an image"),
        ("image,dog\n3.png,1\n4.png,0\n", r"none of its 2 images is in .*, not even 3\.png: paths begin in that"),
        ("", r"labels\.csv cannot be read as a table, CSV in UTF-8 or \.parquet: Empty CSV file"),
        ("image,label\na.png,dog,1\n", r"labels\.csv cannot be read as a table, .*Expected 2 columns, got 3"),
        ('image,label\na.png,"dog\nb.png,"cat"\n', r"a cell holds a control character: 'dog\\nb.*a quotation mark"),
        ('image,label\na.png,x\nb.png,"dog\nc.png,cat\n', r"row 2 below the heading: a cell begins with a quot"),
        ('image,label\na.png,x\nb.png,"dog', r"row 2 below the heading: a cell begins with a quotation mark"),
        ("image,label\n,dog\n", r"row 1 below the heading: it has no image"),
        ("image,label\n../x.png,dog\n", r"\.\./x\.png is no path inside the folder"),
        ("image,label\n/etc/x.png,dog\n", r"/etc/x\.png is no path inside the folder"),
        ("image,label\na.png,d\x01g\n", r"a cell holds a control character: 'd\\x01g'$"),
        (b"image,label\na.png,\xe4\n", r"labels\.csv is not text in UTF-8; save it as CSV UTF-8"),
        (f"{LONG}a\u0308 b/3.png,dog,1,\n", r"3\.png is listed twice, in two Unicode forms"),
    ],
)  # fmt: skip
def test_a_table_that_is_wrong_is_one_line(table: str | bytes, said: str, root: Path) -> None:
    with pytest.raises(DatasetError, match=rf"^[^\n]*{said}[^\n]*$"):
        listed(root, table)


def test_a_column_of_lists_is_one_line(root: Path) -> None:
    pq.write_table(pa.table({"image": NAMES[:1], "labels": [["dog", "cat"]]}), root / "labels.parquet")
    with pytest.raises(DatasetError, match=r"column 'labels' holds neither texts nor numbers, but list<"):
        read_labels(root / "labels.parquet")


def test_what_is_not_there_is_one_line(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(**settings: object) -> str:
        with pytest.raises(DatasetError) as caught:
            read_folder("mine", FolderParams(**settings), NullReporter())  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
        return str(caught.value)

    monkeypatch.delenv("AAAM_DATA_DIR", raising=False)
    assert "set mine.data.root, or AAAM_DATA_DIR to the folder that holds mine/" in refused()
    assert f"no folder {tmp_path / 'gone'}" in refused(root=str(tmp_path / "gone"))
    assert re.search(r"other\.csv: no such file; docs/datasets\.md says", refused(root=str(root), labels="other.csv"))
    assert f"no folder {root / 'pictures'}" in refused(root=str(root), images="pictures")
    (tmp_path / "empty").mkdir()
    assert "there is no photograph in it" in refused(root=str(tmp_path / "empty"), labels="folders")
    make_photo(tmp_path / "flat" / "a.png", 1)
    assert "its photographs are in no folders" in refused(root=str(tmp_path / "flat"), labels="folders")
    cut = gzip.compress(LONG.encode())
    (root / "cut.csv.gz").write_bytes(cut[: len(cut) // 2])
    assert "cut.csv.gz cannot be read as a table" in refused(root=str(root), labels="cut.csv.gz")


def test_it_is_found_below_the_folder_of_data_sets(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = listed(root)
    monkeypatch.setenv("AAAM_DATA_DIR", str(root.parent))
    assert read_folder("root", FolderParams(), NullReporter()).splits == expected.splits
    # names of folders, and a table that is somewhere else
    with pytest.raises(DatasetError, match=r"root: no image is known to be without 'ä b': .* add images that lack it$"):
        read_folder("root", FolderParams(labels="folders"), NullReporter())
    elsewhere = (root / "labels.csv").rename(root.parent / "labels.csv")
    assert read_folder("root", FolderParams(labels=str(elsewhere)), NullReporter()).splits == expected.splits


def test_names_may_be_written_in_another_unicode_form(root: Path) -> None:
    found = by_id(listed(root, LONG.replace("ä", "a\u0308")))
    assert {example.path.parent for example in found.values()} == {root / "ä b"}
    assert set(found) == {name.replace("ä", "a\u0308") for name in NAMES}


def test_a_note_says_which_labels_are_rare_and_how_much_is_known(root: Path) -> None:
    (root / "splits.csv").write_text("image,split\n" + "".join(
        f"{name},{'train' if number < 16 else 'val' if number < 18 else 'test'}\n" for number, name in enumerate(NAMES)
    ))  # fmt: skip
    note = listed(root, splits="splits.csv").note
    assert note.startswith("mine: 3 labels; 16 train, 2 val, 2 test; 73% of all pairs of image and label are known; ")
    assert "; 3 labels have fewer than 10 photographs in train: Sea 4, dog 8, cat 9; " in note
    assert note.endswith("; 3 labels have fewer than 10 photographs in test: Sea 0, cat 1, dog 1")
    nothing = LONG + f"{NAMES[0]},new,1,\n"
    make_photo(root / "extra.png", 99)
    noted = listed(root, nothing.replace("new,1", "dog,0") + "extra.png,dog,,\n", splits=None).note
    assert "left out: 1 image of which nothing is known" in noted


def test_a_stage_prepares_what_another_described(root: Path, tmp_path: Path) -> None:
    (root / "labels.csv").write_text(LONG)
    block = {"k": 1, "data": {"type": "folder", "root": str(root)}, "preprocess": {"size": 16}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"mine": block, "yours": block}))
    params, said = ParamsFile.read(tmp_path / "params.yaml"), Said()
    for name in ("mine", "yours"):
        registry.download(name, params, tmp_path / name, said)
        listing = registry.of(name, params).read(tmp_path / name, registry.load_params(name, params))
        assert listing == read_folder(name, FolderParams(root=str(root)), NullReporter())
        prepare(name, listing, tmp_path / "prepared" / name, 16, said)
    prepared = tmp_path / "prepared" / "mine"
    assert read_manifest(prepared).version == 2
    targets = {
        id: row.tolist()
        for split in listing.splits
        for id, row in zip(read_split(prepared, split).image_ids, read_split(prepared, split).targets_NL, strict=True)
    }
    assert [targets[NAMES[number]] for number in (0, 1, 2, 7)] == [[1, 0, 0], [0, 1, 1], [-1, 1, 0], [-1, -1, 1]]
    assert f"mine: 20 photographs found in {root}" in said.lines
    assert registry.code_fingerprint("mine", params) == registry.code_fingerprint("yours", params) is not None
    (tmp_path / "mine" / "listing.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"listing\.parquet cannot be read .*run `dvc repro -f download@mine`"):
        FolderDataset("mine").read(tmp_path / "mine", FolderParams())


def test_settings_are_checked_and_no_of_yaml_is_no(tmp_path: Path) -> None:
    def load(data: str) -> FolderParams:
        (tmp_path / "params.yaml").write_text(f"mine: {{data: {{{data}}}}}")
        loaded: FolderParams = registry.load_params("mine", ParamsFile.read(tmp_path / "params.yaml"))
        return loaded

    assert [load(f"type: folder, unlisted: {each}").unlisted_is_no for each in ("no", "'no'", "unknown")] == [
        True,
        True,
        False,
    ]
    assert [load(f"type: folder, labels: {each}").unlisted_is_no for each in ("folders", "a.csv")] == [True, False]
    for data, said in (
        ("type: foldr", "mine.data.type: no type 'foldr'; known: folder"),
        ("type: folder, unlisted: yes", "unlisted is no or unknown"),
        ("type: folder, unlisted: unknwon", "did you mean 'unknown'"),
        ("type: folder, unlisted: maybe", "known: no, unknown"),
        ("type: folder, lables: x", "`lables`.*did you mean 'labels'"),
        ("root: x", "no data set 'mine'; known: "),
    ):
        with pytest.raises(ParamsError, match=said):
            load(data)
