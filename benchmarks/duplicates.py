"""How many altered copies a perceptual hash finds, at which precision, and how long the comparison takes.

Pictures are generated scenes and the photographs that `AAAM_SHARED` has: COCO128, with `--full` also Corel-5k and
`everyday`. Each set is halved at random. On the first halves the largest distance is chosen at which no pair is false
in any set; the second halves are measured. The library that precision is measured in holds all pictures of the half,
and of some of them one copy: kinds of change take turns. A pair of two pictures is false, but for those of `ALIKE`,
which were looked at. There are no bursts in these sets: the stand-in is cut by 2 %, at another place in each, up to 5 %
brighter or darker, with noise.

Shapes: N and M pictures, C of them copied, K kinds of change, W words of a hash.
"""

import io
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance
from PIL.Image import Resampling

from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets import scenes
from aaam_pipeline.imaging.hashes import SIMILARITY, TRANSFORM, distance, perceptual_hash, small_grey
from aaam_pipeline.imaging.resizing import resize_square
from aaam_pipeline.search.duplicates import SHAPES
from aaam_pipeline.search.hash_pairs import later_neighbours
from benchmarks.material import SHARED
from benchmarks.table import Report

MINUTES = (1.5, 30.0)
MAX_DISTANCE = distance(SIMILARITY)
SIZE = 224
Words = NDArray[np.uint64]
Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def _crop(picture: Image.Image, chance: np.random.Generator, share: float) -> Image.Image:
    width, height = (round(side * (1 - share)) for side in picture.size)
    left, top = (
        int(chance.integers(0, whole - part + 1)) for whole, part in zip(picture.size, (width, height), strict=True)
    )
    return picture.crop((left, top, left + width, top + height))


def _scale(picture: Image.Image, chance: np.random.Generator, factor: float) -> Image.Image:
    width, height = (max(1, round(side * factor)) for side in picture.size)
    return picture.resize((width, height), Resampling.LANCZOS)


def _turn(picture: Image.Image, chance: np.random.Generator, degrees: float) -> Image.Image:
    # the corners that turning leaves empty are cut off
    turned, (width, height), rest = picture.rotate(degrees, Resampling.BICUBIC), picture.size, 0.015 + 0.01 * degrees
    return turned.crop(
        (round(width * rest), round(height * rest), round(width * (1 - rest)), round(height * (1 - rest)))
    )


def _burst(picture: Image.Image, chance: np.random.Generator) -> Image.Image:
    cut = np.asarray(_crop(picture, chance, 0.02), dtype=np.float32)
    noisy = cut * chance.uniform(0.95, 1.05) + chance.normal(0, 5, cut.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _enhance(picture: Image.Image, chance: np.random.Generator, kind: type[Any], by: float) -> Image.Image:
    changed: Image.Image = kind(picture).enhance(by)
    return changed


# saved as JPEG of quality 90, but for those that say another
CHANGES: dict[str, Change] = {
    **{f"JPEG {quality}": lambda picture, chance: picture for quality in (90, 70, 50, 30)},
    **{f"resized to {factor:.0%}": partial(_scale, factor=factor) for factor in (0.9, 0.5, 0.25)},
    "brighter by 30 %": partial(_enhance, kind=ImageEnhance.Brightness, by=1.3),
    "darker by 30 %": partial(_enhance, kind=ImageEnhance.Brightness, by=0.7),
    "more contrast": partial(_enhance, kind=ImageEnhance.Contrast, by=1.3),
    "less contrast": partial(_enhance, kind=ImageEnhance.Contrast, by=0.7),
    "grey": lambda picture, chance: picture.convert("L"),
    **{f"{share:.0%} cut off": partial(_crop, share=share) for share in (0.02, 0.05, 0.1)},
    "turned by 1°": partial(_turn, degrees=1),
    "turned by 2°": partial(_turn, degrees=2),
    "burst (stand-in)": _burst,
}
# pairs of different files at a distance of at most 60 that show one picture, or a series of one: looked at
ALIKE = {
    *(("corel5k", *pair) for pair in (("108015", "108041"), ("101016", "101038"), ("104068", "104077"))),
    *(("corel5k", *pair) for pair in (("113068", "113089"), ("148067", "148097"), ("183004", "183019"))),
    *(("corel5k", *pair) for pair in (("113063", "113070"), ("113018", "113095"), ("12057", "12062"))),
    ("everyday", "000000084492", "000000426203"),
    ("everyday", "train-a-aqueduct-00000178", "train-a-aqueduct-00000817"),
    ("everyday", "train-c-cockpit-00000564", "train-c-cockpit-00000718"),
    ("everyday", "train-t-trench-00000015", "val-00006256"),
}


def _ours(pixels_SS3: NDArray[np.uint8]) -> bytes:
    return bytes.fromhex(perceptual_hash(pixels_SS3) or "")


def _medians(pixels_SS3: NDArray[np.uint8], side: int, first: int) -> bytes:
    """Return which of a square of frequencies are above their median: PDQ's 16 x 16 from 1 on, pHash's 8 x 8 from 0."""
    amplitudes = TRANSFORM @ np.asarray(small_grey(pixels_SS3), dtype=np.float32) @ TRANSFORM.T
    taken = amplitudes[first : first + side, first : first + side].ravel()
    return np.packbits(taken > np.median(taken)).tobytes()


OURS = "ours: 256 signs"
HASHES: dict[str, Callable[[NDArray[np.uint8]], bytes]] = {
    OURS: _ours,
    "16 x 16 and their median, as PDQ": partial(_medians, side=16, first=1),
    "8 x 8 and their median, as pHash": partial(_medians, side=8, first=0),
}


class Hashed(NamedTuple):
    """Pictures: the shape of each, ln(width / height), and its hashes; all words of one are 0 where it has none."""

    shape_N: NDArray[np.float64]
    hashes: dict[str, Words]


class Pictures(NamedTuple):
    """A set: its files, and the altered copies (C times K of them) of those with the numbers `copied_C`."""

    name: str
    stems: list[str]
    originals: Hashed
    copied_C: NDArray[np.int64]
    copies: Hashed


def run(report: Report, full: bool = False) -> None:
    """Measure precision and recall, then speed."""
    with tempfile.TemporaryDirectory() as folder:
        sets = [_measure(name, files, 400 if full else 100, report) for name, files in _sets(Path(folder), full)]
    _quality(sets, report)
    _speed(report, (20_000, 100_000, 1_000_000) if full else (20_000,))


def _sets(folder: Path, full: bool) -> Iterator[tuple[str, list[Path]]]:
    scenes.download(scenes.Params(train=1, val=1, test=1200 if full else 300), folder, NullReporter())
    yield "scenes", sorted((folder / "images" / "test").iterdir())
    for name in ("coco128", "corel5k", "everyday") if full else ("coco128",):
        if (SHARED / "data" / name).is_dir():
            yield name, sorted(each for each in (SHARED / "data" / name).rglob("*.jp*g"))


def _measure(name: str, files: list[Path], copied: int, report: Report) -> Pictures:
    """Hash the pictures of a set, and the altered copies of some."""
    chance = np.random.default_rng(len(files))
    originals = _hashed(file.read_bytes() for file in files)
    copied_C = np.sort(chance.permutation(len(files))[:copied])
    copies = _hashed(each for number in copied_C for each in _copies(files[number], chance))
    report.info(f"{name}: {len(files)} pictures, {len(copied_C)} with {len(CHANGES)} copies each")
    return Pictures(name, [file.stem for file in files], originals, copied_C, copies)


def _copies(file: Path, chance: np.random.Generator) -> Iterator[bytes]:
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    for kind, change in CHANGES.items():
        copy = io.BytesIO()
        change(picture, chance).save(copy, "JPEG", quality=int(kind[5:]) if kind.startswith("JPEG") else 90)
        yield copy.getvalue()


def _hashed(contents: Iterable[bytes]) -> Hashed:
    shapes, words = [], {way: list[Words]() for way in HASHES}
    for content in contents:
        decoded = resize_square(content, SIZE)
        shapes.append(np.log(decoded.width / decoded.height))
        for way, make in HASHES.items():
            found = make(decoded.pixels_SS3)
            words[way].append(np.frombuffer(found or bytes(32), dtype=np.uint64))
    return Hashed(np.array(shapes), {way: np.stack(each) for way, each in words.items()})


def _distances(one: Hashed, other: Hashed, way: str) -> NDArray[np.int64]:
    """Return the bits in which each of one differs from each of the others; 999 where they are not compared."""
    one_NW, other_MW = one.hashes[way], other.hashes[way]
    far_NM = np.bitwise_count(one_NW[:, None] ^ other_MW).sum(axis=2, dtype=np.int64)
    no_NM = np.abs(one.shape_N[:, None] - other.shape_N) > np.log(SHAPES)
    flat_NM = np.logical_or.outer((one_NW == 0).all(axis=1), (other_MW == 0).all(axis=1))
    return np.where(no_NM | flat_NM, 999, far_NM)


def _rows(hashed: Hashed, rows: NDArray[np.int64]) -> Hashed:
    return Hashed(hashed.shape_N[rows], {way: words[rows] for way, words in hashed.hashes.items()})


class Half(NamedTuple):
    """What was found in half of a set: false and true pairs by distance, and (C, K) distances of copies."""

    false: NDArray[np.int64]
    true: NDArray[np.int64]
    own_CK: NDArray[np.int64]


def _half(pictures: Pictures, way: str, second: bool) -> Half:
    """Compare all pictures of a half, and one copy of each that has copies, with each other."""
    count, kinds = len(pictures.stems), len(CHANGES)
    chosen = np.random.default_rng(1).permutation(count)[second::2]
    copied = np.flatnonzero(np.isin(pictures.copied_C, chosen))
    originals, copies = _rows(pictures.originals, chosen), _rows(pictures.copies, copied * kinds + copied % kinds)
    sources = np.concatenate([chosen, pictures.copied_C[copied]])
    library = Hashed(
        np.concatenate([originals.shape_N, copies.shape_N]),
        {way: np.concatenate([originals.hashes[way], copies.hashes[way]])},
    )
    group_N = np.arange(count)
    for name, *pair in ALIKE:
        if name == pictures.name:
            group_N[pictures.stems.index(pair[1])] = pictures.stems.index(pair[0])
    false, true = np.zeros(1000, np.int64), np.zeros(1000, np.int64)
    for row, source in enumerate(sources):
        later = np.arange(row + 1, len(sources))
        far = _distances(_rows(library, np.array([row])), _rows(library, later), way)[0]
        same = group_N[sources[later]] == group_N[source]
        true += np.bincount(far[same], minlength=1000)
        false += np.bincount(far[~same], minlength=1000)
    own = [
        np.diag(
            _distances(
                _rows(pictures.originals, pictures.copied_C[copied]), _rows(pictures.copies, copied * kinds + kind), way
            )
        )
        for kind in range(kinds)
    ]
    return Half(false.cumsum(), true.cumsum(), np.stack(own, axis=1))


def _precision(half: Half, most: int) -> float:
    found = half.true[most] + half.false[most]
    return float(half.true[most] / found) if found else 1.0


def _quality(sets: list[Pictures], report: Report) -> None:
    """Report what each hash finds in the second halves, and what ours finds of each kind of change."""
    names = ["hash", "distance", *(f"{each.name}: precision, recall, %" for each in sets)]
    add = report.table("copies found: distance chosen on the first halves, measured on the second", names)
    for way in HASHES:
        first = [_half(each, way, second=False) for each in sets]
        second = [_half(each, way, second=True) for each in sets]
        bits = 64 * sets[0].originals.hashes[way].shape[1]
        chosen = max(most for most in range(bits) if not any(half.false[most] for half in first))
        for most in sorted({chosen, MAX_DISTANCE * bits // 256}):
            add([way, f"{most} of {bits}", *(_cell(half, most) for half in second)])
        if way == OURS:
            ours = second
    names = ["change", *(f"{each.name}, {len(half.own_CK)} copies" for each, half in zip(sets, ours, strict=True))]
    add = report.table(f"copies found by kind of change, %, at a distance of at most {MAX_DISTANCE}", names)
    for kind, name in enumerate(CHANGES):
        add([name, *(f"{100 * (half.own_CK[:, kind] <= MAX_DISTANCE).mean():.0f}" for half in ours)])


def _cell(half: Half, most: int) -> str:
    found = f"{100 * _precision(half, most):.2f} ({half.false[most]} false)"
    return f"{found}, {100 * (half.own_CK <= most).mean():.1f}"


def _speed(report: Report, sizes: tuple[int, ...]) -> None:
    """Compare random hashes, one in fifty a copy, on one core."""
    add = report.table("comparing hashes on one core", ["images", "CPU time, s", "pairs", "hashes, MB"])
    faiss.omp_set_num_threads(1)
    for size in sizes:
        chance = np.random.default_rng(size)
        hashes_N32 = chance.integers(0, 256, (size, 32), dtype=np.uint8)
        copies = chance.permutation(size)[: size // 50]
        hashes_N32[copies] = hashes_N32[copies - 1] ^ (chance.random((len(copies), 32)) < 0.5)
        taken_N, started = np.zeros(size, np.bool_), time.process_time()
        found = sum(
            len(others)
            for block in later_neighbours(hashes_N32, MAX_DISTANCE, taken_N, NullReporter())
            for _, others in block
        )
        add([f"{size:,}", f"{time.process_time() - started:.1f}", f"{found:,}", f"{hashes_N32.nbytes / 2**20:.0f}"])
