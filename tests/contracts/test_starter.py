"""The starter: how a trained bundle becomes what the wheel ships, its page, and what is measured for that."""

import csv
import gzip
import json
import runpy
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from conftest import make_photo, rewrite_json
from models.bundle_version_2 import make_version_2
from safetensors.torch import load_file

from aaam_pipeline.annotate import backends
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.progress import NullReporter
from aaam_pipeline.datasets.prepared import read_split
from aaam_pipeline.formats.familiarity import FAMILIARITY, read_familiarity
from aaam_pipeline.models import bundle
from aaam_pipeline.models.card import LICENCES, section
from aaam_pipeline.models.info import read_info
from benchmarks import starter, starter_material
from stages import package_starter

REPOSITORY = Path(__file__).parents[2]
PACKAGED = REPOSITORY / "aaam_pipeline" / "models" / "starter"
GENERATE = runpy.run_path(str(REPOSITORY / "docs" / "generate.py"))
LARGEST = 20e6

Page = Callable[[Path, Path], str]


@pytest.fixture(scope="module")
def source(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained bundle of version 2, whose network was refitted."""
    (found,) = trained.rglob("bundle.json")
    folder = make_version_2(found.parent, tmp_path_factory.mktemp("old") / "refit")
    info = json.loads((folder / "bundle.json").read_text())
    metrics = {**info["metrics"], "refit": True}
    rewrite_json(folder / "bundle.json", metrics=metrics)
    return folder


@pytest.fixture(scope="module")
def packaged(source: Path, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It as a starter; words are judged by however few pictures. Read only."""
    folder = tmp_path_factory.mktemp("package") / "starter"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package_starter, "FEWEST", 1)
        package_starter.package(source, prepared, folder, "two hours on one core.", NullReporter())
    return folder


@pytest.fixture
def figures(packaged: Path, tmp_path: Path) -> Path:
    """What might have been measured of it, and counted."""
    info = read_info(packaged)
    assert info.runtime
    found = starter.StarterFigures(
        model_id=info.of_precision(info.runtime.precision).model_id,
        date="2026-01-02",
        precision=info.runtime.precision,
        files={path.name: path.stat().st_size for path in packaged.iterdir()},
        means=[starter.MeanAp("everyday: all words", 0.5, 0.4, 0.6, 5, 12)],
        retrieval=[starter.Retrieval(1, 0.75, 5)],
        ece=0.01,
        label_ece=0.02,
        torch_mean=0.001,
        torch_most=0.01,
        compared=12,
        corel=[starter.WordAp("sun", ["sunset"], 9, 0.25)],
        queries=[starter.TwoWords("red blue", 12, 7, 1, 8)],
        seen_on="2026-01-03",
    )
    path = tmp_path / "starter.json"
    path.write_bytes(msgspec.json.encode(found))
    return path


def test_a_starter_has_weights_of_half_the_size_and_all_that_annotating_wants(packaged: Path, source: Path) -> None:
    info, before = read_info(packaged), bundle.load(source, torch.device("cpu"))
    assert set(info.files) == {"model.safetensors", "head.safetensors", "model.onnx", "card.md", FAMILIARITY}
    for name in ("model.safetensors", "head.safetensors"):
        assert {each.dtype for each in load_file(packaged / name).values()} <= {torch.float16, torch.int64}
    assert (info.vocabulary, info.thresholds) == (before.info.vocabulary, before.info.thresholds)
    backend = backends.create("auto", packaged, "cpu")
    assert backend.title.startswith("OpenVINO")


def test_what_is_said_of_words_is_of_pictures_that_were_not_trained_on(packaged: Path, prepared: Path) -> None:
    info = read_info(packaged)
    train, val, test = (read_split(prepared, name).targets_NL for name in ("train", "val", "test"))
    trained_NL = np.concatenate([train, val])
    for number, word in enumerate(info.words):
        assert (word.train_yes, word.train_no) == tuple((trained_NL[:, number] == each).sum() for each in (1, 0))
        assert (word.val_yes, word.val_no) == tuple((test[:, number] == each).sum() for each in (1, 0))
    backend = backends.create("auto", packaged, "cpu")
    found = backend.start(read_split(prepared, "test").pixels_NSS3)()
    ap_L = starter.metrics.average_precision(found.scores_BL, test)
    assert [word.ap for word in info.words] == pytest.approx(ap_L.tolist(), abs=1e-4)
    assert info.metrics["val"]["map"] == pytest.approx(ap_L.mean(), abs=1e-6)
    assert info.runtime
    assert info.runtime.loss
    assert info.runtime.loss.images == len(test)
    # one of a hundred of these is farther: none or one of twelve
    assert read_familiarity(packaged / FAMILIARITY).unfamiliar(found.embedding_BD).sum() <= 1


def test_the_card_says_all_that_a_card_should(packaged: Path) -> None:
    card = (packaged / "card.md").read_text()
    assert "MiniPlaces" in section(card, LICENCES)
    assert "two hours on one core.\n" in card
    for title in ("Photographs and labels", "Training", "Figures", "Known failures", "Your own words", "Words"):
        assert section(card, title), title
    assert complete(card)
    assert all(f"| {word} |" in card for word in read_info(packaged).vocabulary)


def complete(text: str) -> bool:
    return not any(each in text for each in ("None", "nan", "{{", "{%", "TODO", "null"))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"cost": " "}, UsageError, "--cost"),
        ({"generated": True}, UsageError, "generated pictures"),
        ({"vocabulary": ["a", "b", "c", "d", "e"]}, IntegrityError, "other labels"),
        ({}, UsageError, "no word is on 10 photographs"),
    ],
)
def test_what_cannot_become_the_starter_is_refused(
    packaged: Path, prepared: Path, tmp_path: Path, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    cost = change.pop("cost", "an hour")
    loaded = bundle.load(packaged, torch.device("cpu"))
    bundle.save(loaded.network, msgspec.structs.replace(loaded.info, **change), tmp_path / "source")
    with pytest.raises(error, match=message):
        package_starter.package(tmp_path / "source", prepared, tmp_path / "out", cost, NullReporter())
    assert not (tmp_path / "out").exists()


def test_its_page_has_the_card_and_the_figures_and_no_gap(packaged: Path, figures: Path) -> None:
    page: Page = GENERATE["starter"]
    text = page(packaged, figures)
    assert complete(text)
    for said in (read_info(packaged).embedding_id, "MiniPlaces", "two hours on one core", "| red blue | 8 | 7 | 1 |"):
        assert said in text
    assert "40.0 to 60.0" in text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [('"seen":8', '"seen":null', "look at the hits"), ('"model_id":"toy', '"model_id":"other', "benchmarks.starter")],
)
def test_there_is_no_page_of_half_a_measurement(
    packaged: Path, figures: Path, old: str, new: str, message: str
) -> None:
    assert old in figures.read_text()
    figures.write_text(figures.read_text().replace(old, new))
    page: Page = GENERATE["starter"]
    with pytest.raises(ValueError, match=message):
        page(packaged, figures)


def test_the_starter_and_its_page_are_there_together_and_small() -> None:
    written = REPOSITORY / "docs" / "starter.md"
    assert written.exists() == PACKAGED.exists(), "python -m benchmarks.starter --write, then make docs"
    if not PACKAGED.exists():
        return
    assert written.read_text() == GENERATE["PAGES"]["docs/starter.md"](), "run `make docs`"
    info = read_info(PACKAGED)
    # as a wheel is compressed
    size = sum(len(zlib.compress(path.read_bytes())) for path in PACKAGED.iterdir())
    # fp32 is shipped where int8 loses too much, and is larger
    assert info.runtime
    assert info.runtime.precision == "fp32" or size <= LARGEST
    assert not info.generated


def test_counts_by_eye_are_one_number_a_query(
    figures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(starter, "PAGE", figures)
    monkeypatch.setattr(starter, "QUERIES", ("red blue",))
    for wrong in ("11", "1 2", "none"):
        with pytest.raises(UsageError, match="1 numbers from 0 to 10"):
            starter.keep_seen(wrong)
    starter.keep_seen("9")
    kept = msgspec.json.decode(figures.read_bytes(), type=starter.StarterFigures)
    assert (kept.queries[0].seen, kept.queries[0].labelled) == (9, 7)
    assert kept.seen_on > "2026-01-03"
    assert "9 of 10" in capsys.readouterr().out


def test_a_bundle_is_measured_on_both_collections(
    packaged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    labels = read_info(packaged).vocabulary
    write_everyday(data / "everyday", labels)
    write_corel(data / "corel5k")
    monkeypatch.setattr(starter, "QUERIES", ("red blue", "sun white"))
    monkeypatch.setattr(starter, "PAGE", tmp_path / "reports" / "starter.json")
    monkeypatch.setattr(starter, "coco_classes", lambda: ["red", "bottle"])
    monkeypatch.setattr(starter_material, "COREL_NAMES", {"white": ("snow", "clouds")})
    starter.main(packaged, data, tmp_path / "sheet.png", write=True)
    capsys.readouterr()
    found = msgspec.json.decode((tmp_path / "reports" / "starter.json").read_bytes(), type=starter.StarterFigures)
    counts = {each.name: (each.words, each.photographs) for each in found.means}
    assert counts["everyday: all words"] == (5, 30)
    # every second photograph is of COCO, and of its classes one is a label here
    assert counts["photographs of COCO alone: classes of COCO"] == (1, 15)
    assert counts["Corel-5k, words it shares: all words"] == (2, 4)
    assert {each.word: (each.corel, each.yes) for each in found.corel} == {
        "sun": (["sun"], 2),
        "white": (["clouds", "snow"], 3),
    }
    assert all(each.low <= each.value <= each.high for each in found.means)
    assert found.torch_mean < 0.01
    assert found.files["model.onnx"] > 1000
    assert (tmp_path / "sheet.png").stat().st_size > 1000


def write_everyday(root: Path, labels: list[str]) -> None:
    """Write 30 photographs that are not trained on and one that is; the first label of every other one is unknown."""
    random, names = np.random.default_rng(0), [f"{('voc', 'coco')[n % 2]}/{n}.png" for n in range(30)]
    root.mkdir(parents=True)
    rows = [("voc/train.png", "red", 1, "true")]
    for number, name in enumerate(names):
        make_photo(root / "images" / name, number)
        rows += [(name, label, int(random.random() < 0.5), "true") for label in labels[number % 4 == 0 :]]
    with gzip.open(root / "labels.csv.gz", "wt", newline="") as file:
        csv.writer(file).writerows([("image", "label", "value", "source"), *rows])
    lines = [("image", "split"), ("voc/train.png", "train"), *((name, "val") for name in names)]
    (root / "splits.csv").write_text("\n".join(",".join(line) for line in lines))


def write_corel(root: Path) -> None:
    """Write four photographs with the words of Corel-5k's kind."""
    for number in range(4):
        make_photo(root / "images" / "1000" / f"{number}.jpeg", number)
    (root / "labels").mkdir()
    (root / "labels" / "words").write_text("sun\nsnow\nclouds\nbear\n")
    (root / "labels" / "test_label").write_text("0 1 2\n1 3\n2 2 3 4\n3 1\n")
