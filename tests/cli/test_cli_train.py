"""`aaam-pipe train`: from photographs and a table to a model that annotates; stopped and resumed; wrong inputs."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from cli.failures import failed
from conftest import Invoke, Result, make_bundle, make_photo, rewrite_json
from training import toy_blocks
from typer.testing import CliRunner

from aaam_pipeline.cli.app import app
from aaam_pipeline.cli.train import _remarks
from aaam_pipeline.core import extras
from aaam_pipeline.models import bundle
from aaam_pipeline.training import chain
from aaam_pipeline.training.own import OwnReport
from aaam_pipeline.training.own_ways import choose

WORDS = list(toy_blocks.COLOURS)
TINY = ("--from", "none", "--backbone", "vgg_small", "--size", "32", "--epochs", "3", "--device", "cpu")


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `photos` of coloured blocks, with photos/labels.csv: what is not listed is not there."""
    folder = tmp_path_factory.mktemp("own") / "photos"
    listing = toy_blocks.listing(folder)
    with (folder / "labels.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["image", *WORDS])
        for examples in listing.splits.values():
            rows.writerows([each.path.name, *(int(word in each.labels) for word in WORDS)] for each in examples)
    return folder


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    with toy_blocks.threads(1):
        yield


@pytest.fixture(scope="module")
def own(blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder in which a model was trained, and what the command printed. Read only."""
    root = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        done = CliRunner().invoke(app, ["train", str(blocks), *TINY])
    return root, done


def test_a_model_of_ones_own_is_reported_by_word_and_annotates_next(
    own: tuple[Path, Result], photos: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, done = own
    assert done.exit_code == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert sorted(row[0] for row in rows) == sorted(WORDS)
    assert all(int(row[1]) > 15 and int(row[2]) > 0 and 0 < float(row[4]) <= 1 for row in rows)
    following = "next: aaam-pipe annotate FOLDER --model models/mine --out mine/annotations"
    assert done.stderr.splitlines()[-1] == following
    assert done.stderr.count("every photograph has one of the words; add photographs that show none of them") == 2
    assert "too good" not in done.stderr
    assert [path.name for path in (root / "models").iterdir()] == ["mine"]
    shutil.copytree(root, photos.parent / "here")
    monkeypatch.chdir(photos.parent / "here")
    made = OwnReport("", "", {"train": 1, "val": 1, "test": 1}, {}, "", 0.5, [])

    def annotated() -> bytes:
        # word for word what is said to be next
        words = list(_remarks(made, Path.cwd() / "models" / "mine"))[-1].removeprefix("next: aaam-pipe ").split()
        words[words.index("FOLDER")] = str(photos)
        done = invoke(*words, "--limit", "2")
        assert done.exit_code == 0, done.stderr
        return Path("mine/annotations/_manifest.json").read_bytes()

    # annotations of another model stay as they are
    other = make_bundle(Path("other"), seed=3)
    assert invoke("annotate", photos, "--limit", "2", "--model", other).exit_code == 0
    before = Path("annotations/_manifest.json").read_bytes()
    assert b"mine-" in annotated()
    assert Path("annotations/_manifest.json").read_bytes() == before
    # those of the model that was there before are replaced
    shutil.rmtree("models/mine")
    shutil.copytree(other, "models/mine")
    assert b"mine-" not in annotated()


def test_what_a_word_was_tested_with_it_was_not_learnt_from(own: tuple[Path, Result], blocks: Path) -> None:
    said = bundle.read_info(own[0] / "models" / "mine").metrics["test"]["words"]
    with (blocks / "labels.csv").open() as stream:
        table = list(csv.DictReader(stream))
    for word in said:
        assert word["train_yes"] + word["test_yes"] == sum(int(row[word["word"]]) for row in table)
        assert word["test_yes"] + word["test_no"] < len(table) / 2
        assert word["right"] <= min(word["given"], word["test_yes"])
        assert word["given"] - word["right"] <= word["test_no"]
    assert sum(word["right"] for word in said) > 0


def test_photographs_that_cannot_be_decoded_are_named_and_not_counted(
    blocks: Path, invoke: Invoke, tmp_path: Path
) -> None:
    photos = Path(shutil.copytree(blocks, tmp_path / "photos"))
    rows = list(csv.DictReader((photos / "labels.csv").read_text().splitlines()))
    (photos / rows[0]["image"]).write_bytes(b"")
    done = invoke("train", photos, *TINY, "--json")
    assert done.exit_code == 0, done.stderr
    assert f"left out, since they cannot be decoded: '{rows[0]['image']}'" in done.stderr
    made = json.loads(done.stdout)
    assert sum(made["photographs"].values()) == len(rows) - 1
    assert made["without"] == 0
    for word in made["words"]:
        assert word["train_yes"] + word["test_yes"] == sum(int(row[word["word"]]) for row in rows[1:])
    shown = invoke("model", "show", "mine").stdout
    assert f"test        map {made['map']:.3f}" in shown
    assert re.search(r"validation  map 0\.\d{3}, n_plus \d+\n", shown)


def test_a_stopped_run_resumes_and_ends_the_same(
    own: tuple[Path, Result], blocks: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_phase, calls = chain.run_phase, 0

    def stopped(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        run_phase(*arguments)

    monkeypatch.setattr(chain, "run_phase", stopped)
    first = invoke("train", blocks, *TINY)
    assert first.exit_code == 130
    assert "run the same command again" in first.stderr
    assert not (tmp_path / "models" / "mine").exists()
    again = invoke("train", blocks, *TINY)
    assert again.exit_code == 0, again.stderr
    assert "whole: bce\n" not in again.stderr  # finished before
    assert "whole: hard\n" in again.stderr
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["mine"]
    ids = [bundle.read_info(root / "models" / "mine").model_id for root in (own[0], tmp_path)]
    assert ids[0] == ids[1]


def test_known_words_keep_their_rows_and_a_model_of_this_command_is_replaced(
    own: tuple[Path, Result], blocks: Path, invoke: Invoke, tmp_path: Path
) -> None:
    shutil.copytree(own[0] / "models" / "mine", tmp_path / "models" / "mine")
    text = (blocks / "labels.csv").read_text().replace("image,red,green", "image,Red,lime")
    (tmp_path / "words.csv").write_text(text)
    # a copy: the model that is started from is replaced
    shutil.copytree(own[0] / "models" / "mine", tmp_path / "before")
    before = bundle.read_info(tmp_path / "models" / "mine").model_id
    done = invoke(
        "train", blocks, "--labels", "words.csv", "--from", "before", "--epochs", "1", "--device", "cpu", "--json"
    )
    assert done.exit_code == 0, done.stderr
    made = json.loads(done.stdout)
    assert sorted(made["val"]) == ["head", "mean", "whole"]
    assert "the figures below are too good" in done.stderr
    assert made["chosen"] == choose(made["val"], made["photographs"]["val"])
    assert made["model_id"] != before
    assert bundle.read_info(tmp_path / "models" / "mine").model_id == made["model_id"]


Change = Callable[[Path], tuple[str, ...]]


def _table(text: str) -> Change:
    def change(place: Path) -> tuple[str, ...]:
        (place / "table.csv").write_text(text)
        return ("photos", "--labels", "table.csv")

    return change


def _foreign(place: Path) -> tuple[str, ...]:
    (place / "models" / "mine").mkdir(parents=True)
    (place / "models" / "mine" / "novel.txt").write_text("mine")
    return ("photos",)


def _starter(place: Path) -> tuple[str, ...]:
    return ("photos", "--from", "starter")


def _empty(place: Path) -> tuple[str, ...]:
    (place / "empty").mkdir()
    return ("empty", "--labels", "folders")


def _copies(place: Path) -> tuple[str, ...]:
    for number in (2, 3):
        shutil.copyfile(place / "photos" / "1.jpg", place / "photos" / f"{number}.jpg")
    return _table("image,dog\n1.jpg,1\n2.jpg,1\n3.jpg,0\n")(place)


ROWS = "image,label,value\n" + "".join(f"{number}.jpg,dog,{int(number < 4)}\n" for number in range(8))
WRONG: dict[str, tuple[Change, int, str]] = {
    "unknown image": (_table(ROWS + "x.jpg,dog,1\n"), 1, "1 of its 9 images is not in photos: 'x.jpg'"),
    "neither yes nor no": (_table(ROWS + "7.jpg,dog,maybe\n"), 1, "'maybe' is neither yes"),
    "a label on no photograph": (_table(ROWS + "1.jpg,cat,0\n"), 1, "no image has 'cat'"),
    "one word in two cases": (_table(ROWS + "1.jpg,Dog,1\n"), 1, "'Dog'"),
    "yes and no": (_table(ROWS + "1.jpg,dog,0\n"), 1, "is said to have 'dog', and not to have it"),
    "a photograph of a word": (_table(ROWS + "1.jpg,cat,1\n2.jpg,cat,0\n"), 1, "fewer than 2 photographs have 'cat'"),
    "nothing is no": (
        _table("image,label\n1.jpg,dog\n2.jpg,dog\n"),
        1,
        "say no of some images, or give --unlisted no, if what is not listed is not there",
    ),
    "copies of one picture": (_copies, 1, "3 photographs are 1 different pictures: too few"),
    "no table": (lambda place: ("photos",), 2, "no labels.csv in photos; name the table with --labels"),
    "no such table": (lambda place: ("photos", "--labels", "no.csv"), 2, "no.csv: no such file"),
    "no folder": (lambda place: ("nowhere", "--labels", "folders"), 2, "no folder nowhere"),
    "a file": (lambda place: ("photos/1.jpg",), 2, "is a file: name its folder"),
    "empty folder": (_empty, 1, "there is no photograph in it"),
    "foreign output": (_foreign, 2, "is no model that `aaam-pipe train` made; choose another --out"),
    "no starter": (_starter, 2, "no starter comes with this installation: name what to start from with --from"),
    "no model": (lambda place: ("photos", "--from", "nothing"), 2, "nothing"),
    "no weights": (lambda place: ("photos", "--from", "no.safetensors"), 2, "--from no.safetensors: no such file"),
    "another backbone": (
        lambda place: ("photos", "--from", "toy", "--backbone", "resnet18"),
        2,
        "its backbone is vgg_small, not resnet18",
    ),
    "another size": (lambda place: ("photos", "--from", "toy", "--size", "64"), 2, "pictures of another size"),
    "no backbone": (lambda place: ("photos", "--from", "none", "--backbone", "vgg_smal"), 2, "vgg_smal"),
    "a name": (lambda place: ("photos", "--name", "a b"), 2, "letters, digits and _ - only"),
    "no device": (lambda place: ("photos", "--device", "gpu"), 2, "no device 'gpu'"),
    "no splits": (lambda place: ("photos", "--splits", "no.csv"), 2, "--splits no.csv: no such file"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_input_is_one_line_and_leaves_nothing(
    case: str, tiny_bundle: Path, tmp_path: Path, invoke: Invoke
) -> None:
    for number in range(8):
        make_photo(tmp_path / "photos" / f"{number}.jpg", number)
    shutil.copytree(tiny_bundle, tmp_path / "toy")
    change, code, said = WRONG[case]
    words = change(tmp_path)
    if case not in ("no table", "foreign output", "no folder", "empty folder", "a file") and "--labels" not in words:
        (tmp_path / "labels.csv").write_text(ROWS)
        words += ("--labels", "labels.csv")
    if "--from" not in words:
        words += ("--from", "none", "--backbone", "vgg_small", "--size", "32")
    if case == "foreign output":
        (tmp_path / "photos" / "labels.csv").write_text(ROWS)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    failed(invoke("train", *words, "-q"), code, said)
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}


def test_weights_that_cannot_be_fetched_advise_what_this_command_has(
    blocks: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: object, **options: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    words = ("--from", "imagenet", "--backbone", "resnet18", "--size", "32")
    failed(invoke("train", blocks, *words, "-q"), 2, "name a .safetensors file of them with --from")


def test_a_full_disk_is_one_line(blocks: Path, invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 0))  # type: ignore[attr-defined]
    said = "has too little room: 0.2 MB are needed, and 0.0 MB are free; make room"
    failed(invoke("train", blocks, *TINY, "-q"), 1, said)
    assert not (tmp_path / "models" / "mine").exists()


def test_without_torch_the_extra_is_named(blocks: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda package: None)
    failed(invoke("train", blocks, *TINY), 2, "torch is not installed: pip install 'aaam-pipe[train]'")


def test_a_damaged_model_is_no_start(tiny_bundle: Path, blocks: Path, tmp_path: Path, invoke: Invoke) -> None:
    shutil.copytree(tiny_bundle, tmp_path / "toy")
    rewrite_json(tmp_path / "toy" / "bundle.json", thresholds=[0.5])
    failed(invoke("train", blocks, "--from", "toy", "-q"), 4, "thresholds")
    changed = Path(shutil.copytree(tiny_bundle, tmp_path / "changed")) / "model.safetensors"
    content = bytearray(changed.read_bytes())
    content[-5] ^= 1
    changed.write_bytes(content)
    failed(invoke("train", blocks, "--from", "changed", "-q"), 4, "model.safetensors is missing or damaged")
    assert not (tmp_path / "models").exists()
    assert torch.get_num_threads() == 1
