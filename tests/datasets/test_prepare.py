"""What preparing a data set leaves: pixels, labels and bad images in order, and a manifest that tells changes."""

import csv
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import Said, rewrite_json
from datasets.gray import BAD, LABELS, make_listing, prepared
from numpy.typing import NDArray
from PIL import Image

from aaam_pipeline.core.errors import DatasetError, IntegrityError, UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import decode
from aaam_pipeline.datasets.listing import Example, Listing
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.datasets.prepared import (
    PreparedFile,
    SplitInfo,
    content_fingerprint,
    read_labels,
    read_manifest,
    read_split,
)


def numbers(pixels_NSS3: NDArray[np.uint8]) -> list[int]:
    return (pixels_NSS3[:, 0, 0, 0] // 20).tolist()


def test_a_split_is_read_in_the_order_of_the_listing(tmp_path: Path) -> None:
    split = read_split(prepared(make_listing(tmp_path / "raw"), tmp_path / "out"), "train")
    assert split.image_ids == [f"train{number}" for number in range(6)]
    assert split.paths[2] == tmp_path / "raw" / "train2.png"
    assert numbers(split.pixels_NSS3) == [0, 1, 2, 3, 4, 5]
    assert split.targets_NL.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert split.pixels_NSS3.shape == (6, 16, 16, 3)
    assert isinstance(split.pixels_NSS3, np.memmap)


def test_labels_that_are_unknown_are_neither_yes_nor_no(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw")
    sky, sea, sun = LABELS
    train = listing.splits["train"]
    said = [
        train[0]._replace(labels=(), absent=()),
        train[1]._replace(labels=(sun,), absent=(sky, sky)),
        train[2]._replace(labels=(sky, sea), absent=(sun,)),
        *train[3:],
    ]
    out = prepared(listing._replace(splits=listing.splits | {"train": said}), tmp_path / "out")
    split = read_split(out, "train")
    assert split.targets_NL.dtype == np.int8
    assert split.targets_NL.tolist() == [[-1, -1, -1], [0, -1, 1], [1, 1, 0], [1, 1, 1], [0, 0, 0], [1, 0, 0]]
    assert read_split(out, "val").targets_NL.tolist() == [[0, 0, 0], [1, 0, 0]]
    # a program that knows no unknown labels must not take them for no
    assert (read_manifest(out).version, read_manifest(out).splits["train"].labels_mean) == (2, 7 / 6)
    assert read_manifest(prepared(listing, tmp_path / "whole")).version == 1
    assert content_fingerprint(out) != content_fingerprint(tmp_path / "whole")


def test_an_image_that_has_a_label_and_has_it_not_is_refused(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw")
    for absent, fault in ((LABELS[:2], "is said to have .*, and not to have it"), (("moon",), "which is none of its")):
        wrong = [each._replace(absent=absent) for each in listing.splits["train"]]
        with pytest.raises(DatasetError, match=rf"^gray: image train\d .*{fault}"):
            prepared(listing._replace(splits=listing.splits | {"train": wrong}), tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_pictures_are_resized_as_the_settings_say(tmp_path: Path) -> None:
    photo = np.random.default_rng(1).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    listing = make_listing(tmp_path / "raw")
    Image.fromarray(photo).save(tmp_path / "raw" / "train0.png")
    found = []
    for name in ("bilinear", "bicubic"):
        prepare("gray", listing, tmp_path / name, 16, NullReporter(), name)  # type: ignore[arg-type]
        found.append(read_split(tmp_path / name, "train").pixels_NSS3[0])
    wanted = [
        Image.fromarray(photo).resize((16, 16), each) for each in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
    ]
    assert all(np.array_equal(one, other) for one, other in zip(found, wanted, strict=True))


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


def test_the_number_of_threads_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listing, written = make_listing(tmp_path / "raw", bad=tuple(BAD)), []
    for cores in (1, 5):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        out = prepared(listing, tmp_path / str(cores))
        written.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert written[0] == written[1]


def test_more_pictures_than_are_decoded_at_a_time_keep_their_order(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw", train=12)
    fifty = [
        each._replace(image_id=f"{each.image_id}-{turn}") for turn in range(50) for each in listing.splits["train"]
    ]
    again = Listing(LABELS, listing.splits | {"train": fifty})
    assert numbers(read_split(prepared(again, tmp_path / "out"), "train").pixels_NSS3) == list(range(12)) * 50


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_without_any_good_image_is_refused_and_nothing_is_published(split: str, tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw")
    for example in listing.splits[split]:
        example.path.write_bytes(b"")
    with pytest.raises(DatasetError, match=f"no image of the split {split}"):
        prepared(listing, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    shutil.rmtree(tmp_path / "raw")
    make_listing(tmp_path / "raw")
    assert len(read_split(prepared(listing, tmp_path / "out"), split).image_ids) == len(listing.splits[split])


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw")
    with pytest.raises(DatasetError, match="no image in its split val"):
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


@pytest.mark.parametrize("bad", [(), tuple(BAD)])
def test_the_manifest_tells_counts_and_the_hash_of_every_file(bad: tuple[str, ...], tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw", bad=bad)._replace(missing=("gone",))
    out = prepared(listing, tmp_path / "out")
    manifest = read_manifest(out)
    assert (manifest.size, manifest.labels, manifest.missing) == (16, 3, 1)
    assert manifest.splits["train"] == SplitInfo(6, len(bad), 7 / 6, 0, 3)
    assert manifest.splits["val"] == SplitInfo(2, 0, 0.5, 0, 1)
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    assert set(manifest.files) == set(files) - {"manifest.json"}
    for name, info in manifest.files.items():
        assert info == PreparedFile(files[name].stat().st_size, hashlib.sha256(files[name].read_bytes()).hexdigest())
    assert np.load(out / "train" / "pixels.npy").shape == (6, 16, 16, 3)


def test_what_a_copy_lacks_is_said_and_listed(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw")._replace(missing=("gone1", "gone2"), note="half of it is there")
    report = Said()
    prepare("gray", listing, tmp_path / "out", 16, report)
    assert report.lines[0] == "half of it is there"
    with (tmp_path / "out" / "bad_images.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["image_id"], row["error_type"]) for row in rows] == [("gone1", "missing"), ("gone2", "missing")]


def change_pixels(out: Path) -> None:
    with (out / "train" / "pixels.npy").open("ab") as stream:
        stream.write(b"more")


def change_manifest(out: Path) -> None:
    path = out / "manifest.json"
    path.write_text(path.read_text().replace('"labels": 3', '"labels": 4'))


def change_version(out: Path) -> None:
    rewrite_json(out / "manifest.json", version=99)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_pixels, r"train/pixels\.npy is not what .*manifest\.json says"),
        (change_manifest, r"manifest\.json was changed"),
        (change_version, r"manifest\.json is of another version"),
        (lambda out: (out / "bad_images.csv").unlink(), r"bad_images\.csv is not what"),
    ],
)
def test_a_prepared_data_set_that_was_changed_has_no_fingerprint(
    change: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    out = prepared(make_listing(tmp_path / "raw"), tmp_path / "out")
    change(out)
    with pytest.raises(IntegrityError, match=said):
        content_fingerprint(out)


def test_a_label_that_an_image_has_twice_counts_once(tmp_path: Path) -> None:
    listing = make_listing(tmp_path / "raw", train=2)
    splits = listing.splits | {
        "train": [each._replace(labels=("sea", "sky", "sea")) for each in listing.splits["train"]]
    }
    out = prepared(listing._replace(splits=splits), tmp_path / "out")
    assert read_manifest(out).splits["train"] == SplitInfo(2, 0, labels_mean=2.0, labels_min=2, labels_max=2)


def test_files_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    out = prepared(make_listing(tmp_path / "raw"), tmp_path / "out")
    (out / "val" / "examples.parquet").write_bytes((out / "test" / "examples.parquet").read_bytes())
    with pytest.raises(DatasetError, match="val is not a prepared split: its files have different numbers of images"):
        read_split(out, "val")


def test_a_disk_that_is_too_small_is_known_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=11 * 16 * 16 * 3 - 1))
    monkeypatch.setattr(decode, "resize_square", None)
    with pytest.raises(DatasetError, match="too little room"):
        prepared(make_listing(tmp_path / "raw"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


PICTURE = Example("a", Path("a.png"), ())
IN_TWO_SPLITS = {"train": [PICTURE], "val": [PICTURE._replace(image_id="b")], "test": [PICTURE]}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"labels": ()}, "gray: there are no labels; correct the labels of the data set"),
        ({"labels": (*LABELS, "Sky")}, "gray: labels .*: 'sky' = 'Sky'; correct"),
        ({"labels": LABELS[:2]}, "gray: image train3 has 'sun', which is none of its labels"),
        ({"splits": {}}, "gray: it has no split train; a data set needs train, val, test"),
        ({"splits": IN_TWO_SPLITS}, "gray: image a is in train and in test"),
        ({"splits": IN_TWO_SPLITS | {"train": [PICTURE, PICTURE]}}, "gray: image a is twice in train"),
    ],
)
def test_a_listing_that_cannot_be_used_ends_before_any_work_and_loses_nothing(
    changed: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = make_listing(tmp_path / "raw")
    out = prepared(listing, tmp_path / "out")
    (tmp_path / "out.partial").mkdir()
    (tmp_path / "out.partial" / "half").touch()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(decode, "resize_square", None)
    with pytest.raises(DatasetError, match=said) as caught:
        prepared(listing._replace(**changed), out)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
