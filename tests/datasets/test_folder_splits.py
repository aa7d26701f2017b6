"""Splits of photographs of one's own: by a table, or by what is in the files, with copies on one side."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from conftest import make_photo
from PIL import Image

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.folder import FolderParams, read_folder
from aaam_pipeline.datasets.folder.splits import by_content
from aaam_pipeline.datasets.listing import Listing

SHARES = {"test": 0.2, "val": 0.1}


def photograph(path: Path, seed: int) -> Path:
    """Write a smooth picture with content at all the frequencies of a perceptual hash, another one for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).resize((160, 160), Image.Resampling.BICUBIC).save(path, quality=95)
    return path


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    return [photograph(folder / f"{seed}.jpg", seed) for seed in range(60)]


def drawn(paths: Iterable[Path], shares: dict[str, float] = SHARES, seed: int = 7) -> dict[str, str]:
    listed = list(paths)
    return dict(zip(map(str, listed), by_content(listed, shares, seed, NullReporter()), strict=True))


def test_a_photograph_is_where_it_is_whatever_its_name_and_its_company(paths: list[Path], tmp_path: Path) -> None:
    found = drawn(paths)
    counts = {split: list(found.values()).count(split) for split in ("train", "val", "test")}
    assert 30 <= counts["train"] < 55
    assert min(counts["val"], counts["test"]) >= 2
    fewer = drawn(reversed(paths[:40]))
    assert fewer == {path: found[path] for path in fewer}
    moved = tmp_path / "renamed.jpg"
    moved.write_bytes(paths[3].read_bytes())
    assert drawn([*paths[:3], moved, *paths[4:]])[str(moved)] == found[str(paths[3])]
    assert drawn(paths, seed=8) != found


def test_copies_and_what_looks_alike_are_never_divided(paths: list[Path], tmp_path: Path) -> None:
    groups = []
    for number, path in enumerate(paths):
        with Image.open(path) as picture:
            smaller, poor = tmp_path / f"{number}-small.png", tmp_path / f"{number}-poor.jpg"
            picture.resize((90, 90)).save(smaller)
            picture.save(poor, quality=30)
        groups.append([path, smaller, poor])
    flat = [tmp_path / "flat.png", tmp_path / "flat too.png"]
    for path in flat:
        Image.new("RGB", (64, 64), (10, 20, 30)).save(path)
    found = drawn(each for group in [*groups, flat] for each in group)
    assert [len({found[str(path)] for path in group}) for group in [*groups, flat]] == [1] * 61
    assert set(found.values()) == {"train", "val", "test"}


def test_what_cannot_be_read_does_not_stop_it(paths: list[Path], tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    found = drawn([*paths, tmp_path / "text.jpg", tmp_path / "gone.jpg"])
    assert {path: found[path] for path in map(str, paths)} == drawn(paths)


def test_of_few_photographs_each_split_has_one(paths: list[Path]) -> None:
    for first in range(0, 57, 3):
        assert sorted(drawn(paths[first : first + 3]).values()) == ["test", "train", "val"]
        assert sorted(drawn(paths[first : first + 2], {"val": 0.1}).values()) == ["train", "val"]
    with pytest.raises(
        DatasetError, match=r"^3 photographs are 2 different pictures: too few for train, test and val$"
    ):
        by_content([paths[0], paths[1], paths[1]], SHARES, 7, NullReporter())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number in range(30):
        make_photo(tmp_path / "root" / f"{number}.png", number)
    rows = "".join(f"{number}.png,{number % 2}\n" for number in range(30))
    (tmp_path / "root" / "labels.csv").write_text("image,dog\n" + rows)
    return tmp_path / "root"


def listed(root: Path, splits: str) -> Listing:
    (root / "splits.csv").write_text(splits)
    return read_folder("mine", FolderParams(root=str(root), splits="splits.csv"), NullReporter())


def ids(listing: Listing, split: str) -> set[int]:
    return {int(each.image_id.removesuffix(".png")) for each in listing.splits[split]}


def table(*splits: str) -> str:
    return "image,split\n" + "".join(f"{n}.png,{splits[n * len(splits) // 30]}\n" for n in range(30))


def test_a_table_says_the_splits(root: Path) -> None:
    found = listed(root, table("train", "val", "test"))
    assert [ids(found, split) for split in ("train", "val", "test")] == [
        set(range(10)), set(range(10, 20)), set(range(20, 30)),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["val", "test"])
def test_one_part_that_is_held_out_is_what_is_tested_on(name: str, root: Path) -> None:
    found = listed(root, table("train", "train", name))
    assert ids(found, "test") == set(range(20, 30))
    assert ids(found, "train") | ids(found, "val") == set(range(20))
    assert 1 <= len(ids(found, "val")) < 10


@pytest.mark.parametrize(
    ("splits", "said"),
    [
        ("image,part\n1.png,train\n", r"splits\.csv: its first line must be .*image,split; it is 'image, part'"),
        ("image,split\n1.png,dev\n", r"splits\.csv: a split is train, val or test, not 'dev'"),
        (table("train", "val") + "1.png,val\n", r"splits\.csv: image 1\.png is in train and in val"),
        ("image,split\n1.png,train\n2.png,val\n", r"splits\.csv: in no split: 28 images with labels: '0\.png', "),
        (table("train"), r"splits\.csv: it must have train, and val or test or both"),
        (table("val", "test"), r"splits\.csv: it must have train, and val or test or both"),
    ],
)  # fmt: skip
def test_a_table_of_splits_that_is_wrong_is_one_line(splits: str, said: str, root: Path) -> None:
    with pytest.raises(DatasetError, match=rf"^[^\n]*{said}[^\n]*$"):
        listed(root, splits)
