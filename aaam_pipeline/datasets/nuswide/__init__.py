"""NUS-WIDE (Chua et al. 2009): photographs of Flickr with 81 concepts.

    ImageList/{Train,Test}Imagelist.txt                            one image a line, `actor\\0001_2124494179.jpg`
    ConceptsList/Concepts81.txt                                    one concept a line
    Groundtruth/TrainTestLabels/Labels_<concept>_{Train,Test}.txt  0 or 1 a line, one for each image of the list
    Flickr/actor/0001_2124494179.jpg                               or images/..., or all in one folder

Images without any concept are dropped. Training: 125,449 images. Test: 83,898.
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import absolute
from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets import copies
from aaam_pipeline.datasets.fetching.archives import NUSWIDE, NUSWIDE_PAGE, NUSWIDE_URLS
from aaam_pipeline.datasets.fetching.obtain import cache, obtain
from aaam_pipeline.datasets.listing import Listing
from aaam_pipeline.datasets.nuswide import flickr
from aaam_pipeline.datasets.official import Counts, LabelledImage, OfficialLists, OfficialParams, assemble

NAME = "nuswide"
EXPECTED = Counts(train=125_449, test=83_898, labels=81)
PARTS = ("Train", "Test")
CONCEPTS = "ConceptsList/Concepts81.txt"
IMAGE_FOLDERS = ("Flickr", "images", "Images", "image", "ImageData/Flickr", ".")
REQUEST = (
    f"the photographs of NUS-WIDE are handed out on request only: fill in the agreement form on {NUSWIDE_PAGE}, "
    "send it to the address there, unpack what you get and set nuswide.data.root to its folder; or set "
    "nuswide.data.fetch and nuswide.data.allow_partial to true to get from Flickr what is still there"
)


class NusWideParams(OfficialParams, frozen=True):
    """`nuswide.data` of params.yaml. `fetch`: get the photographs from Flickr, by the publisher's list of URLs."""

    val: Annotated[int, Meta(ge=1)] = 5000
    fetch: bool = False


Params = NusWideParams


def candidates(file: str) -> list[str]:
    """Return where users have an official file: unpacked with its folders, or with fewer of them."""
    parts = file.split("/")
    return ["/".join(parts[first:]) for first in range(len(parts))] + [f"{parts[0]}/{file}"]


def download(params: NusWideParams, out: Path, report: Reporter) -> None:
    """Describe the user's copy, or download lists and labels; with `fetch` get the photographs from Flickr.

    Raises:
        DatasetError: the copy lacks a file, the photographs cannot be had without you, or the download fails.
    """
    root = copies.find_root(NAME, params.root, *candidates(CONCEPTS))
    urls = _url_list(root) if params.fetch else None
    if root is None:
        if not params.fetch:
            raise DatasetError(REQUEST)
        root = obtain(NAME, NUSWIDE, params.mirror, report)
    files = official_files(root)
    fetched = cache(NAME) / "Flickr"
    if urls:
        lists = read_lists(files)
        flickr.fetch(urls, {image for image, _ in (*lists.train, *lists.test)}, fetched, report)
    folders = dict.fromkeys([copies.find(NAME, root, IMAGE_FOLDERS, folder=True), *([fetched] if urls else [])])
    images: dict[str, Path] = {}
    for folder in folders:
        own = [(path.relative_to(folder).with_suffix("").as_posix(), path) for path in copies.photographs(folder)]
        # what was fetched from Flickr fills the gaps of the copy
        images |= copies.by_id((id, path) for id, path in own if id not in images)
    copies.describe(NAME, root, files, images.items(), out, report)


def _url_list(root: Path | None) -> Path:
    """Return the publisher's list of URLs in the copy, or where it would be downloaded to."""
    for folder in (root, cache(NAME)):
        for name in ("NUS-WIDE-urls.txt", "NUS-WIDE-urls/NUS-WIDE-urls.txt"):
            if folder and (folder / name).is_file():
                return folder / name
    raise DatasetError(
        f"nuswide.data.fetch needs NUS-WIDE-urls.txt: download {NUSWIDE_URLS}, unpack it (unrar, 7-Zip), "
        f"and put the file into {absolute(root or cache(NAME))}"
    )


def official_files(root: Path) -> dict[str, Path]:
    """Find the lists and label files in a copy, in the order of splits and concepts.

    Raises:
        DatasetError: one is not there.
    """
    names = [CONCEPTS, *(f"ImageList/{part}Imagelist.txt" for part in PARTS)]
    files = {name: copies.find(NAME, root, candidates(name)) for name in names}
    concepts = copies.read_lines(files[CONCEPTS], "concept")
    for name in (label_file(concept, part) for part in PARTS for concept in concepts):
        files[name] = copies.find(NAME, root, candidates(name))
    return files


def label_file(concept: str, part: str) -> str:
    """Return the official name of a concept's labels in the part Train or Test."""
    return f"Groundtruth/TrainTestLabels/Labels_{concept}_{part}.txt"


def read(raw: Path, params: NusWideParams) -> Listing:
    """Read the lists and labels, and find the photographs.

    Raises:
        DatasetError: a file is damaged or does not fit another, or the copy is incomplete.
    """
    copy = copies.read(raw)
    lists = read_lists(copy.files)

    def locate(image: str) -> Path | None:
        # by path; else where all lie in one folder, by the name in the list or by Flickr's number alone
        name = image.split("/")[1]
        keys = (image, name, name.split("_")[1])
        return next((copy.images[key] for key in keys if key in copy.images), None)

    return assemble(NAME, lists, locate, EXPECTED, params, copy.root)


def read_lists(files: dict[str, Path]) -> OfficialLists:
    """Return the concepts, and the images of the official lists that have one at least."""
    concepts = tuple(copies.read_lines(files[CONCEPTS], "concept"))
    parts: list[list[LabelledImage]] = []
    for part in PARTS:
        listed = files[f"ImageList/{part}Imagelist.txt"]
        ids = read_images(listed)
        labels_NL = read_labels([files[label_file(concept, part)] for concept in concepts], listed, len(ids))
        rows = zip(ids, map(np.flatnonzero, labels_NL), strict=True)
        parts.append([(id, tuple(concepts[index] for index in row)) for id, row in rows if len(row)])
    return OfficialLists(concepts, *parts)


def read_images(path: Path) -> list[str]:
    """Return the ids in a list of images, in order.

    Raises:
        DatasetError: a line is not an image, or there twice.
    """
    ids = []
    for number, line in enumerate(copies.read_lines(path, "image"), start=1):
        id = flickr.image_id(line)
        if id is None:
            raise DatasetError(f"{path}, line {number}: not an image like actor\\0001_2124494179.jpg: {line!r}")
        ids.append(id)
    return ids


def read_labels(files: list[Path], images: Path, count: int) -> NDArray[np.uint8]:
    """Return the labels (count, L) of the images of a list, as uint8 0 or 1, from the files of L concepts.

    Raises:
        DatasetError: a file has another number of lines than the list, or a line that is neither 0 nor 1.
    """
    labels_NL = np.zeros((count, len(files)), dtype=np.uint8)
    for column, path in enumerate(files):
        data = path.read_bytes()
        flags = data.translate(None, b" \t\r\n")
        if len(flags) != count or data.rstrip().count(b"\n") != count - 1 or flags.translate(None, b"01"):
            raise _wrong(path, data, images, count)
        labels_NL[:, column] = np.frombuffer(flags, dtype=np.uint8) == ord("1")
    return labels_NL


def _wrong(path: Path, data: bytes, images: Path, count: int) -> DatasetError:
    """Say what is wrong with a file of labels."""
    lines = [line.strip() for line in data.rstrip().split(b"\n")]
    for number, line in enumerate(lines, start=1):
        if line not in (b"0", b"1"):
            shown = line[:40].decode("utf8", "backslashreplace")
            return DatasetError(f"{path}, line {number}: neither 0 nor 1: {shown!r}")
    return DatasetError(f"{path} has {len(lines):,} lines, but {images.name} has {count:,} images")
