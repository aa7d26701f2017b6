"""The paper's data sets, read from small stand-ins in their official layouts."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import standins
from datasets.standins import COUNTS, MAKERS, labels_by_id, listed

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import registry
from aaam_pipeline.datasets.official import Counts


@pytest.fixture(params=MAKERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def copy(name: str, tmp_path: Path) -> Path:
    return MAKERS[name](tmp_path / name)


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
