"""Small stand-ins of the paper's data sets, laid out as their publishers distribute them; and reading them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import registry
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.datasets.official import Counts

COCO_CATEGORIES = {1: "person", 3: "car", 18: "dog", 67: "dining table"}
COCO_TRAIN, COCO_VAL = 14, 6
# every fifth image has no category
COCO_EMPTY = 5
IAPR_WORDS = ["adult", "sky", "tree", "water", "zebra"]
IAPR_TRAIN = [f"{number // 5:02d}/{number + 25}" for number in range(12)]
IAPR_TEST = [f"40/{number + 40000}" for number in range(5)]
NUS_CONCEPTS = ["airport", "animal", "sky", "whales"]
NUS_TRAIN = [f"actor/{number:04d}_{2124494179 + number}" for number in range(12)]
NUS_TEST = [f"zoo/{number:04d}_{517 + number}" for number in range(6)]


def photo(path: Path, number: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(number)
    Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path, quality=70)
    return path


def words_of(number: int, words: list[str]) -> list[str]:
    """Return an image's labels: none of every fifth, else one to three."""
    return [] if number % COCO_EMPTY == 4 else [words[(number + step) % len(words)] for step in range(1 + number % 3)]


def instances(part: str, count: int) -> dict[str, Any]:
    ids = {name: id for id, name in COCO_CATEGORIES.items()}
    annotations = [
        {
            "id": 1000 * number + place,
            "image_id": 9 + number,
            "category_id": ids[word],
            "iscrowd": place % 2,
            "area": 1.5,
        }
        for number in range(count)
        for place, word in enumerate(words_of(number, list(ids)))
    ]
    return {
        "info": {"year": 2014},
        "licenses": [],
        "images": [
            {"id": 9 + number, "file_name": f"COCO_{part}_{9 + number:012d}.jpg", "height": 20, "width": 24}
            for number in range(count)
        ],
        "annotations": annotations,
        "categories": [
            {"id": id, "name": name, "supercategory": "thing"} for id, name in reversed(COCO_CATEGORIES.items())
        ],
    }


def coco2014(root: Path) -> Path:
    """Write instances_{train,val}2014.json and train2014/, val2014/."""
    for part, count in (("train2014", COCO_TRAIN), ("val2014", COCO_VAL)):
        content = instances(part, count)
        place = root / "annotations" / f"instances_{part}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps(content))
        for image in content["images"]:
            photo(root / part / image["file_name"], image["id"])
    return root


def hvecs(rows: list[list[str]], words: list[str]) -> bytes:
    """Write rows of 16-bit numbers, each led by how many there are."""
    values = [[len(words), *(int(word in row) for word in words)] for row in rows]
    return np.array(values, dtype="<u2").tobytes()


def iaprtc12(root: Path) -> Path:
    """Write Guillaumin's dictionary, lists and annotations, and images/<dd>/<number>.jpg."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "iaprtc12_dictionary.txt").write_text("\n".join(IAPR_WORDS) + "\n")
    for part, images in (("train", IAPR_TRAIN), ("test", IAPR_TEST)):
        (root / f"iaprtc12_{part}_list.txt").write_text("\n".join(images) + "\n")
        rows = [words_of(number, IAPR_WORDS) for number in range(len(images))]
        (root / f"iaprtc12_{part}_annot.hvecs").write_bytes(hvecs(rows, IAPR_WORDS))
        for number, image in enumerate(images):
            photo(root / "images" / f"{image}.jpg", number)
    return root


def nuswide(root: Path) -> Path:
    """Write the lists and the label files, and Flickr/<word>/<number>_<id>.jpg."""
    for folder in ("ImageList", "ConceptsList", "Groundtruth/TrainTestLabels"):
        (root / folder).mkdir(parents=True)
    (root / "ConceptsList" / "Concepts81.txt").write_text("".join(f"{concept}\r\n" for concept in NUS_CONCEPTS))
    for part, images in (("Train", NUS_TRAIN), ("Test", NUS_TEST)):
        listed = "".join(image.replace("/", "\\") + ".jpg\r\n" for image in images)
        (root / "ImageList" / f"{part}Imagelist.txt").write_text(listed)
        for concept in NUS_CONCEPTS:
            flags = [f"{int(concept in words_of(number, NUS_CONCEPTS))}\n" for number in range(len(images))]
            (root / "Groundtruth/TrainTestLabels" / f"Labels_{concept}_{part}.txt").write_text("".join(flags))
        for number, image in enumerate(images):
            photo(root / "Flickr" / f"{image}.jpg", number)
    return root


MAKERS = {"coco2014": coco2014, "iaprtc12": iaprtc12, "nuswide": nuswide}
# images with a label of the 14, 12 and 12 training images; all six of val2014; images with a label of 5 and 6
COUNTS = {"coco2014": Counts(12, 6, 4), "iaprtc12": Counts(12, 5, 5), "nuswide": Counts(10, 5, 4)}


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
