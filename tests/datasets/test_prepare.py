import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aaam_pipeline.core.errors import DatasetError, UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import registry
from aaam_pipeline.datasets.download import download
from aaam_pipeline.datasets.listing import Example, Listing
from aaam_pipeline.datasets.prepare import content_fingerprint, prepare, read_labels, read_split
from aaam_pipeline.models.preprocess import Preprocess

LABELS = ("sky", "sea", "sun")
PREPROCESS = Preprocess(size=16)
BAD = {"empty": b"", "text": b"no image", "cut": None, "missing": None}


def make_listing(folder: Path, train: int = 6, bad: tuple[str, ...] = ()) -> Listing:
    """Make pictures whose grey value tells their number; `bad` ones are put after the third of `train`."""
    splits: dict[str, list[Example]] = {}
    folder.mkdir()
    for split, count in (("train", train), ("val", 2), ("test", 3)):
        splits[split] = []
        for number in range(count):
            path = folder / f"{split}{number}.png"
            Image.new("RGB", (20, 10), (number * 20,) * 3).save(path)
            splits[split].append(Example(path.stem, path, LABELS[: number % 4]))
    for name in bad:
        path = folder / f"{name}.jpg"
        if name == "cut":
            Image.new("RGB", (50, 50), "red").save(path)
            path.write_bytes(path.read_bytes()[:-300])
        elif name != "missing":
            path.write_bytes(BAD[name] or b"")
        splits["train"].insert(3, Example(name, path, ("sun",)))
    return Listing(LABELS, splits)


def prepared(listing: Listing, out: Path) -> Path:
    prepare(listing, out, lambda content: PREPROCESS.decode(content).pixels_SS3, PREPROCESS.size, NullReporter())
    return out


def numbers(pixels: np.ndarray) -> list[int]:
    return (pixels[:, 0, 0, 0] // 20).tolist()


def test_a_split_is_read_in_the_order_of_the_listing(tmp_path: Path) -> None:
    split = read_split(prepared(make_listing(tmp_path / "raw"), tmp_path / "out"), "train")
    assert split.image_ids == [f"train{number}" for number in range(6)]
    assert split.paths[2] == tmp_path / "raw" / "train2.png"
    assert numbers(split.pixels_NSS3) == [0, 1, 2, 3, 4, 5]
    assert split.targets_NL.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert split.pixels_NSS3.shape == (6, 16, 16, 3)
    assert isinstance(split.pixels_NSS3, np.memmap)


def test_labels_are_kept_in_their_order(tmp_path: Path) -> None:
    assert read_labels(prepared(make_listing(tmp_path / "raw"), tmp_path / "out")) == list(LABELS)


def test_bad_images_are_listed_with_their_reason_and_left_out(tmp_path: Path) -> None:
    out = prepared(make_listing(tmp_path / "raw", bad=tuple(BAD)), tmp_path / "out")
    with (out / "bad_images.csv").open(newline="") as stream:
        rows = {row["image_id"]: row for row in csv.DictReader(stream)}
    assert {name: row["error_type"] for name, row in rows.items()} == {
        "empty": "empty_file", "text": "not_an_image", "cut": "truncated", "missing": "unreadable",
    }  # fmt: skip
    assert rows["cut"]["path"] == str(tmp_path / "raw" / "cut.jpg")
    assert all(row["error_message"] for row in rows.values())


def test_pixels_and_labels_still_belong_together_where_images_were_left_out(tmp_path: Path) -> None:
    split = read_split(prepared(make_listing(tmp_path / "raw", bad=tuple(BAD)), tmp_path / "out"), "train")
    assert split.image_ids == [f"train{number}" for number in range(6)]
    assert numbers(split.pixels_NSS3) == [0, 1, 2, 3, 4, 5]
    assert split.targets_NL.sum(1).tolist() == [0, 1, 2, 3, 0, 1]


def test_more_pictures_than_are_decoded_at_a_time_keep_their_order(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw", train=12)
    again = Listing(LABELS, listing.splits | {"train": listing.splits["train"] * 50})
    assert numbers(read_split(prepared(again, tmp_path / "out"), "train").pixels_NSS3) == list(range(12)) * 50


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_any_good_image_is_refused_and_nothing_is_published(split: str, tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw")
    for example in listing.splits[split]:
        example.path.write_bytes(b"")
    with pytest.raises(DatasetError, match=f"no image of the split {split}"):
        prepared(listing, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw")
    with pytest.raises(DatasetError, match="no image of the split val"):
        prepared(Listing(LABELS, listing.splits | {"val": []}), tmp_path / "out")


def test_preparing_again_replaces_what_was_there(tmp_path: Path) -> None:
    out = prepared(make_listing(tmp_path / "raw", bad=("text",)), tmp_path / "out")
    (out / "stale").touch()
    prepared(make_listing(tmp_path / "raw2", train=2), out)
    assert len(read_split(out, "train").image_ids) == 2
    assert not (out / "stale").exists()


def test_what_is_no_prepared_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a prepared data set"):
        read_split(tmp_path, "train")
    out = prepared(make_listing(tmp_path / "raw"), tmp_path / "out")
    (out / "val" / "pixels.npy").write_bytes(b"damaged")
    (out / "test" / "examples.parquet").unlink()
    for split in ("val", "test"):
        with pytest.raises(DatasetError, match="not a prepared split"):
            read_split(out, split)


def test_the_fingerprint_is_that_of_the_content(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw")
    one, same = (content_fingerprint(prepared(listing, tmp_path / name)) for name in ("one", "same"))
    assert one == same
    Image.new("RGB", (20, 10), "red").save(listing.splits["val"][0].path)
    assert content_fingerprint(prepared(listing, tmp_path / "other")) != one


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_data_set_offers_the_interface(name: str) -> None:
    module = registry.get(name)
    assert module.Params()
    assert callable(module.download)
    assert callable(module.read)


def test_an_unknown_data_set_is_named_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no data set 'corel'; known: coco2014, corel5k, iaprtc12, nuswide, scenes"):
        registry.get("corel")


def test_a_download_that_fails_publishes_nothing(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(f"corel5k: {{data: {{root: {tmp_path / 'nowhere'}}}}}")
    with pytest.raises(DatasetError):
        download("corel5k", tmp_path / "params.yaml", tmp_path / "raw", NullReporter())
    assert not (tmp_path / "raw").exists()
