import hashlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from aaam_pipeline.core.errors import DatasetError
from aaam_pipeline.core.progress import Advance, NullReporter
from aaam_pipeline.datasets import scenes
from aaam_pipeline.datasets.scenes import Params, download, read
from aaam_pipeline.datasets.scenes.compose import LABELS, Picture, compose

TINY = Params(train=4, val=2, test=3, size=64)


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def generate(folder: Path, params: Params) -> dict[str, str]:
    folder.mkdir()
    download(params, folder, NullReporter())
    return digests(folder)


@pytest.fixture(scope="module")
def many() -> list[Picture]:
    return [compose(np.random.default_rng([7, 0, number]), 64) for number in range(300)]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    generate(tmp_path / "raw", TINY)
    return tmp_path / "raw"


def test_default_sizes() -> None:
    params = msgspec.convert({}, Params)
    assert (params.train, params.val, params.test, params.size) == (2400, 400, 800, 128)


@pytest.mark.parametrize("wrong", [{"train": 0}, {"size": 31}, {"colour": 1}, {"seed": "seven"}])
def test_unfit_params_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, Params)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    assert generate(tmp_path / "a", TINY) == generate(tmp_path / "b", TINY)


def test_another_seed_gives_other_pictures(tmp_path: Path) -> None:
    one = generate(tmp_path / "a", TINY)
    other = generate(tmp_path / "b", msgspec.structs.replace(TINY, seed=8))
    assert one.keys() == other.keys()
    assert not [name for name in one if name.endswith(".jpg") and one[name] == other[name]]


def test_splits_differ_from_each_other(tmp_path: Path) -> None:
    found = generate(tmp_path / "a", TINY)
    assert len(set(found.values())) == len(found)


def test_a_picture_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few = generate(tmp_path / "few", TINY)
    more = generate(tmp_path / "more", msgspec.structs.replace(TINY, train=6, test=5))
    assert {name: digest for name, digest in few.items() if name.endswith(".jpg")}.items() <= more.items()


def test_the_number_of_processes_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "_ALONE_BELOW", 0)
    params = Params(train=50, val=1, test=41, size=32)
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        scenes._generate(params, tmp_path / str(workers), NullReporter(), workers)
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    assert len(digests(tmp_path / "1")) == 93


def test_progress_reaches_the_total(tmp_path: Path) -> None:
    steps: list[int] = []

    class Counting(NullReporter):
        @contextmanager
        def task(self, title: str, total: int) -> Iterator[Advance]:
            assert total == 9
            yield steps.append

    download(TINY, tmp_path, Counting())
    assert sum(steps) == 9


def test_read_gives_back_what_was_generated(raw: Path) -> None:
    listing = read(raw, TINY)
    assert listing.labels == LABELS
    assert {split: len(examples) for split, examples in listing.splits.items()} == {"train": 4, "val": 2, "test": 3}
    for split, code in (("train", 0), ("val", 1), ("test", 2)):
        for number, example in enumerate(listing.splits[split]):
            assert example.image_id == f"{split}/{number:05}"
            assert example.labels == compose(np.random.default_rng([7, code, number]), 64).labels
            with Image.open(example.path) as image:
                assert (image.format, image.size, image.mode) == ("JPEG", (64, 64), "RGB")


@pytest.mark.parametrize(
    ("line", "text", "complaint"),
    [
        (1, "split,name,labels", ":1: the columns"),
        (3, "train,images/train/00001.jpg", ":3: 2 columns"),
        (4, "trial,images/train/00002.jpg,sky|sea", ":4: unknown split 'trial'"),
        (5, "train,images/train/00003.jpg,sky|skey", ":5: unknown label 'skey'"),
        (5, "train,images/train/00003.jpg,", ":5: unknown label ''"),
        (6, "val,images/val/77777.jpg,sky|sea", ":6: images/val/77777.jpg is missing"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(raw: Path, line: int, text: str, complaint: str) -> None:
    table = raw / "labels.csv"
    lines = table.read_text().splitlines()
    lines[line - 1] = text
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(DatasetError) as caught:
        read(raw, TINY)
    assert str(table) + complaint in str(caught.value)


def test_a_table_cut_short_is_refused(raw: Path) -> None:
    table = raw / "labels.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(DatasetError, match="2 test pictures, not 3"):
        read(raw, TINY)


def test_a_missing_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read(tmp_path, TINY)


def test_every_label_is_neither_rare_nor_everywhere(many: list[Picture]) -> None:
    counts = Counter(label for picture in many for label in picture.labels)
    shares = {label: counts[label] / len(many) for label in LABELS}
    assert not {label: share for label, share in shares.items() if not 0.03 <= share <= 0.7}


def test_labels_are_two_to_eight_in_the_vocabulary_order(many: list[Picture]) -> None:
    assert {len(picture.labels) for picture in many} <= set(range(2, 9))
    assert 4 <= np.mean([len(picture.labels) for picture in many]) <= 5.5
    for picture in many:
        assert list(picture.labels) == sorted(set(picture.labels), key=LABELS.index)


@pytest.mark.parametrize(
    ("label", "given", "factor"),
    [("person", "football", 1.3), ("grass", "football", 1.5), ("sand", "kite", 2.0), ("sea", "boat", 2.5),
     ("road", "car", 2.0)],
)  # fmt: skip
def test_labels_depend_on_each_other(many: list[Picture], label: str, given: str, factor: float) -> None:
    share = np.mean([label in picture.labels for picture in many])
    share_given = np.mean([label in picture.labels for picture in many if given in picture.labels])
    assert share_given > factor * share


def test_dependence_is_not_absolute(many: list[Picture]) -> None:
    assert [picture for picture in many if "football" in picture.labels and "person" not in picture.labels]


def test_pictures_are_no_flat_colour(many: list[Picture]) -> None:
    spread = [float(np.asarray(picture.image, np.float32).std()) for picture in many]
    assert np.median(spread) > 25
    assert min(spread) > 3


def test_a_night_is_darker_than_a_day(many: list[Picture]) -> None:
    light = {night: np.mean([np.asarray(p.image).mean() for p in many if ("night" in p.labels) == night])
             for night in (True, False)}  # fmt: skip
    assert light[True] < 0.6 * light[False]
