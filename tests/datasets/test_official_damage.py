"""Damage to the files of the paper's data sets is said in one line, with file and place."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import standins
from datasets.standins import MAKERS, listed

from aaam_pipeline.core.errors import AaamError


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
# each line is a data set, what is done to it, and what must be said
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
     r"iaprtc12_dictionary\.txt is not text in UTF-8 \(byte 9\)"),
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
