"""Pictures of one grey value each, that tells their number, and bad ones; loads no torch."""

from pathlib import Path

from PIL import Image

from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.listing import Example, Listing
from aaam_pipeline.datasets.prepare import prepare

LABELS = ("sky", "sea", "sun")
SIZE = 16
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
    prepare("gray", listing, out, SIZE, NullReporter())
    return out
