"""The paper's data sets, read from small stand-ins in their official layouts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import standins
from datasets.standins import MAKERS

from aaam_pipeline.core.errors import AaamError, DatasetError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import registry
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.datasets.official.assemble import Counts

# images with a label of the 14, 12 and 12 training images; all six of val2014; images with a label of 5 and 6
COUNTS = {"coco2014": Counts(12, 6, 4), "iaprtc12": Counts(12, 5, 5), "nuswide": Counts(10, 5, 4)}


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def copy(name: str, tmp_path: Path) -> Path:
    return MAKERS[name](tmp_path / name)


def listed(name: str, copy: Path, **settings: object) -> Listing:
    """Describe a copy and read it, as the two stages do."""
    dataset = registry.get(name)
    params = dataset.Params(**({"root": str(copy), "val": 2, "allow_partial": True} | settings))
    raw = copy.parent / "raw"
    shutil.rmtree(raw, ignore_errors=True)
    raw.mkdir()
    dataset.download(params, raw, NullReporter())
    return dataset.read(raw, params)


def labels_by_id(listing: Listing) -> dict[str, tuple[str, ...]]:
    return {example.image_id: example.labels for examples in listing.splits.values() for example in examples}


def test_counts_are_those_of_the_split_rules(name: str, copy: Path) -> None:
    listing = listed(name, copy)
    train, val, test = (len(listing.splits[split]) for split in ("train", "val", "test"))
    assert Counts(train + val, test, len(listing.labels)) == COUNTS[name]
    assert val == 2
    assert listing.missing == ()


def test_labels_are_those_of_the_files_in_the_official_order(name: str, copy: Path) -> None:
    listing = listed(name, copy)
    found = labels_by_id(listing)
    if name == "coco2014":
        assert listing.labels == ("person", "car", "dog", "dining table")
        assert found["COCO_train2014_000000000010"] == ("car", "dog")
        assert found["COCO_val2014_000000000013"] == ()
    elif name == "iaprtc12":
        assert listing.labels == tuple(standins.IAPR_WORDS)
        assert found["00/27"] == ("tree", "water", "zebra")
        assert found["40/40004"] == ()
    else:
        assert listing.labels == tuple(standins.NUS_CONCEPTS)
        assert found["actor/0001_2124494180"] == ("animal", "sky")
        assert "zoo/0004_521" not in found


def test_paths_lead_to_the_users_own_files_and_nothing_is_copied(name: str, copy: Path) -> None:
    listing = listed(name, copy)
    for examples in listing.splits.values():
        for example in examples:
            assert example.path.is_file()
            assert example.path.is_relative_to(copy)
            assert example.path.stem in example.image_id
    assert sorted(path.name for path in (copy.parent / "raw").rglob("*")) == ["copy.json", "images.csv"]


def test_the_held_out_images_depend_on_the_seed_alone(name: str, copy: Path) -> None:
    def held_out(seed: int) -> list[str]:
        return [example.image_id for example in listed(name, copy, seed=seed).splits["val"]]

    assert held_out(7) == held_out(7)
    assert len({tuple(held_out(seed)) for seed in range(6)}) > 1
    with pytest.raises(DatasetError, match=rf"{name}\.data\.val: 50 of {COUNTS[name].train}"):
        listed(name, copy, val=50)


def test_a_copy_of_the_expected_size_needs_no_permission(
    name: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.get(name), "EXPECTED", COUNTS[name])
    assert listed(name, copy, allow_partial=False).note == ""


def test_what_differs_from_the_data_set_is_said(name: str, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = registry.get(name).EXPECTED
    with pytest.raises(DatasetError) as caught:
        listed(name, copy, allow_partial=False)
    said = str(caught.value)
    assert f"{COUNTS[name].train} training images instead of {expected.train:,}" in said
    assert f"{COUNTS[name].test} test images instead of {expected.test:,}" in said
    assert f"labels instead of {expected.labels}" in said
    assert f"{name}.data.allow_partial: true" in said
    assert str(copy) in said


def test_images_that_are_missing_are_listed_and_left_out(
    name: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.get(name), "EXPECTED", COUNTS[name])
    gone = listed(name, copy).splits["test"][1]
    gone.path.unlink()
    with pytest.raises(DatasetError, match=f"1 listed images are missing, the first: {gone.image_id};"):
        listed(name, copy, allow_partial=False)
    listing = listed(name, copy)
    assert listing.missing == (gone.image_id,)
    assert gone.image_id not in labels_by_id(listing)
    assert gone.image_id in listing.note


def test_the_real_counts_are_those_of_table_1() -> None:
    assert [registry.get(name).EXPECTED for name in ("coco2014", "iaprtc12", "nuswide")] == [
        Counts(82_081, 40_504, 80),
        Counts(17_665, 1_962, 291),
        Counts(125_449, 83_898, 81),
    ]


@pytest.mark.parametrize("base", ["the data set", "the folder above"])
def test_the_environment_variable_points_to_the_copy_or_above_it(
    base: str, name: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AAAM_DATA_DIR", str(copy if base == "the data set" else copy.parent))
    assert len(labels_by_id(listed(name, copy, root=None))) == COUNTS[name].train + COUNTS[name].test


def test_a_copy_that_has_moved_or_changed_since_is_named(name: str, copy: Path, tmp_path: Path) -> None:
    dataset = registry.get(name)
    params = dataset.Params(root=str(copy), val=2, allow_partial=True)
    (tmp_path / "raw").mkdir()
    dataset.download(params, tmp_path / "raw", NullReporter())
    official = next(path for path in sorted(copy.rglob("*")) if path.suffix in (".json", ".txt"))
    content = official.read_bytes()
    official.write_bytes(content + b"\n")
    with pytest.raises(DatasetError, match=f"{official.name} has .* bytes, not .*dvc repro -f download@{name}"):
        dataset.read(tmp_path / "raw", params)
    official.unlink()
    with pytest.raises(DatasetError, match=f"{official.name} is gone.*dvc repro -f download@{name}"):
        dataset.read(tmp_path / "raw", params)


# other layouts that users have


def rename(**names: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        for old, new in names.items():
            target = root / new.replace("__", "/")
            target.parent.mkdir(parents=True, exist_ok=True)
            (root / old.replace("__", "/")).rename(target)

    return change


def flat(by_number: bool) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / "images").mkdir()
        for path in root.glob("Flickr/*/*.jpg"):
            path.rename(root / "images" / (path.name.split("_")[1] if by_number else path.name))
        shutil.rmtree(root / "Flickr")

    return change


LAYOUTS = [
    ("coco2014", rename(train2014="images__train2014", val2014="images__val2014")),
    ("iaprtc12", rename(images="iaprtc12__images")),
    ("nuswide", rename(Flickr="images")),
    ("nuswide", rename(Groundtruth__TrainTestLabels="TrainTestLabels")),
    ("nuswide", rename(ImageList="list__x", list__x="ImageList__ImageList")),
    ("nuswide", flat(by_number=False)),
    ("nuswide", flat(by_number=True)),
]


@pytest.mark.parametrize(("dataset", "change"), LAYOUTS)
def test_other_usual_layouts_are_found(dataset: str, change: Callable[[Path], None], tmp_path: Path) -> None:
    root = MAKERS[dataset](tmp_path / dataset)
    change(root)
    listing = listed(dataset, root)
    assert len(labels_by_id(listing)) == COUNTS[dataset].train + COUNTS[dataset].test
    assert listing.missing == ()


# damage: each line is a data set, what is done to it, and what must be said


def edit(name: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / name
        path.write_text(change(path.read_text()))

    return damage


def edit_json(part: str, change: Callable[[dict[str, list[dict[str, object]]]], object]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / "annotations" / f"instances_{part}.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    return damage


def edit_bytes(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (root / name).write_bytes(change((root / name).read_bytes()))

    return damage


def remove(name: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return damage


TRAIN_JSON = "annotations/instances_train2014.json"
TRAIN_HVECS = "iaprtc12_train_annot.hvecs"
LABELS = "Groundtruth/TrainTestLabels"
ROW = 2 * (1 + len(standins.IAPR_WORDS))
BROKEN = [
    ("coco2014", edit(TRAIN_JSON, lambda text: text[:900]),
     r"instances_train2014\.json is damaged: .*truncated; .*900"),
    ("coco2014", edit(TRAIN_JSON, lambda text: text.replace(":", ";", 3)), r"instances_train2014\.json is damaged"),
    ("coco2014", edit(TRAIN_JSON, lambda text: "{}"), r"instances_train2014\.json is no file of COCO .*`images`"),
    ("coco2014", edit_json("val2014", lambda all: all["annotations"][3].update(category_id=999)),
     r"instances_val2014\.json, annotations\[3\]: category id 999 is not among"),
    ("coco2014", edit_json("val2014", lambda all: all["annotations"][2].update(image_id=77777)),
     r"instances_val2014\.json, annotations\[2\]: image id 77777 is not among"),
    ("coco2014", edit_json("train2014", lambda all: all["annotations"][1].update(category_id="dog")),
     r"instances_train2014\.json is no file .*annotations\[1\]\.category_id"),
    ("coco2014", edit_json("train2014", lambda all: all["images"][4].update(id=9)),
     r"instances_train2014\.json, images\[4\]: image id 9 is listed twice"),
    ("coco2014", edit_json("train2014", lambda all: all["images"][4].update(
        file_name="COCO_train2014_000000000011.jpg")),
     r"images: the file name of COCO_train2014_000000000011 is listed twice"),
    ("coco2014", edit_json("train2014", lambda all: all["categories"][1].update(id=1)), r"categories: an id .* twice"),
    ("coco2014", edit_json("val2014", lambda all: all["categories"][1].update(name="cat")),
     r"instances_val2014\.json, categories: they are not those of instances_train2014\.json"),
    ("coco2014", remove(TRAIN_JSON),
     r"no copy of coco2014 in its official layout: it has no annotations/instances_train"),
    ("coco2014", remove("val2014"), r"it has no val2014, nor images/val2014"),
    ("iaprtc12", edit("iaprtc12_train_list.txt", lambda text: text.split("\n", 1)[1]),
     r"iaprtc12_train_annot\.hvecs has 12 rows, but the list of images has 11 lines"),
    ("iaprtc12", edit("iaprtc12_train_list.txt", lambda text: text.replace("00/27", "00-27")),
     r"iaprtc12_train_list\.txt, line 3: not an image like 00/25: '00-27'"),
    ("iaprtc12", edit("iaprtc12_test_list.txt", lambda text: text.replace("40/40002", "40/40001")),
     r"iaprtc12_test_list\.txt, line 3: the image '40/40001' is in line 2 already"),
    ("iaprtc12", edit("iaprtc12_test_list.txt", lambda text: text.replace("40/40002", "00/25")),
     r"image 00/25 is in training and in test"),
    ("iaprtc12", edit("iaprtc12_dictionary.txt", lambda text: text.replace("zebra\n", "")),
     r"iaprtc12_train_annot\.hvecs, row 1: it is led by 5, not by 4, the number of words"),
    ("iaprtc12", edit("iaprtc12_dictionary.txt", lambda text: ""), r"iaprtc12_dictionary\.txt is empty"),
    ("iaprtc12", edit("iaprtc12_dictionary.txt", lambda text: text.replace("sky", "")),
     r"iaprtc12_dictionary\.txt, line 2: it is empty"),
    ("iaprtc12", edit_bytes("iaprtc12_dictionary.txt", lambda data: data[:9] + b"\xff" + data[9:]),
     r"iaprtc12_dictionary\.txt is damaged: it is not text \(byte 9\)"),
    ("iaprtc12", edit_bytes(TRAIN_HVECS, lambda data: data[: 2 * ROW] + b"\7" + data[2 * ROW + 1 :]),
     r"iaprtc12_train_annot\.hvecs, row 3: it is led by 7, not by 5"),
    ("iaprtc12", edit_bytes(TRAIN_HVECS, lambda data: data[:-4]),
     r"iaprtc12_train_annot\.hvecs is damaged: it ends in row 12, after 140 bytes"),
    ("iaprtc12", edit_bytes(TRAIN_HVECS, lambda data: data[:-3]), r"ends in the middle of a number, after 141 bytes"),
    ("iaprtc12", edit_bytes(TRAIN_HVECS, lambda data: data[:-ROW]), r"has 11 rows, but the list .* has 12 lines"),
    ("iaprtc12", remove("iaprtc12_test_list.txt"), r"it has no iaprtc12_test_list\.txt, nor annotations/"),
    ("nuswide", edit(f"{LABELS}/Labels_sky_Train.txt", lambda text: text[2:]),
     r"Labels_sky_Train\.txt has 11 lines, but TrainImagelist\.txt has 12 images"),
    ("nuswide", edit(f"{LABELS}/Labels_sky_Test.txt", lambda text: text[:4] + "2" + text[5:]),
     r"Labels_sky_Test\.txt, line 3: neither 0 nor 1: '2'"),
    ("nuswide", edit("ImageList/TrainImagelist.txt", lambda text: text.split("\n", 1)[1]),
     r"Labels_airport_Train\.txt has 12 lines, but TrainImagelist\.txt has 11 images"),
    ("nuswide", edit("ImageList/TestImagelist.txt", lambda text: text.replace("zoo\\0002_519.jpg", "zoo")),
     r"TestImagelist\.txt, line 3: not an image like .*: 'zoo'"),
    ("nuswide", edit("ConceptsList/Concepts81.txt", lambda text: text.replace("sky", "clouds")),
     r"it has no Groundtruth/TrainTestLabels/Labels_clouds_Train\.txt, nor TrainTestLabels/"),
    ("nuswide", remove("ImageList/TestImagelist.txt"), r"it has no ImageList/TestImagelist\.txt"),
    ("nuswide", remove("Flickr"), r"it has no photographs"),
]  # fmt: skip


@pytest.mark.parametrize(("dataset", "damage", "said"), BROKEN)
def test_damage_is_reported_with_file_and_place_in_one_line(
    dataset: str, damage: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    root = MAKERS[dataset](tmp_path / dataset)
    damage(root)
    with pytest.raises(AaamError, match=said) as caught:
        listed(dataset, root)
    assert "\n" not in str(caught.value)
