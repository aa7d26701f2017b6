from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
import yaml

from aaam_pipeline.core.errors import ParamsError
from aaam_pipeline.core.params import LabelCount, ParamsFile
from aaam_pipeline.datasets import registry
from aaam_pipeline.models import ModelParams
from aaam_pipeline.models.preprocess import Preprocess
from aaam_pipeline.training.phases import PhaseParams, TrainParams
from stages import settings

REPOSITORY = Path(__file__).parents[2]
Tree = dict[str, Any]
Kind = TypeVar("Kind")


def block() -> Tree:
    return {
        "k": 3,
        "preprocess": {"size": 32},
        "model": {"backbone": "vgg_small", "weights": "none", "attention": {"filters": "dense"}},
        "train": {"batch_size": 8, "augment": {"flip": 0.5}},
        "phases": {"bce": {"epochs": 2, "lr": {"features": 1e-3}}, "joint": {}, "hard": None},
    }


def changed(where: str, value: object) -> Tree:
    """Return a sound file's content with the value at a dotted place replaced or added."""
    tree: Tree = {"datasets": ["toy"], "toy": block()}
    node = tree
    *path, last = where.split(".")
    for name in path:
        node = node[name]
    node[last] = value
    return tree


def written(folder: Path, tree: object) -> Path:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def load_all(path: Path, dataset: str = "toy") -> None:
    params = ParamsFile.read(path)
    params.section(f"{dataset}.k", LabelCount)
    params.section(f"{dataset}.preprocess", Preprocess)
    params.section(f"{dataset}.model", ModelParams)
    params.section(f"{dataset}.train", TrainParams)
    for phase in ("bce", "joint", "hard"):
        params.section(f"{dataset}.phases.{phase}", PhaseParams)


def load(path: Path, name: str, kind: type[Kind]) -> Kind:
    return ParamsFile.read(path).section(name, kind)


def complaint(action: Callable[[], object]) -> str:
    with pytest.raises(ParamsError) as caught:
        action()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("dataset", registry.BUILT_IN)
def test_the_projects_own_file_loads_in_all_sections(dataset: str) -> None:
    load_all(REPOSITORY / "params.yaml", dataset)
    registry.load_params(dataset, ParamsFile.read(REPOSITORY / "params.yaml"))


def test_a_section_becomes_its_struct_with_defaults_for_what_is_not_given(tmp_path: Path) -> None:
    phase = load(written(tmp_path, changed("toy.k", 3)), "toy.phases.bce", PhaseParams)
    assert (phase.epochs, phase.lr.features) == (2, 1e-3)
    assert (phase.patience, phase.lr.attention) == (PhaseParams().patience, PhaseParams().lr.attention)


def test_an_empty_section_has_the_defaults(tmp_path: Path) -> None:
    assert load(written(tmp_path, changed("toy.k", 3)), "toy.phases.hard", PhaseParams) == PhaseParams()


@pytest.mark.parametrize(
    ("where", "suggested"),
    [
        ("toy.modle", "model"),
        ("toy.phases.joined", "joint"),
        ("toy.preprocess.sise", "size"),
        ("toy.model.backbon", "backbone"),
        ("toy.model.attention.filter", "filters"),
        ("toy.train.batchsize", "batch_size"),
        ("toy.train.augment.flips", "flip"),
        ("toy.phases.bce.epoch", "epochs"),
        ("toy.phases.bce.lr.feature", "features"),
    ],
)
def test_an_unknown_key_is_named_at_every_level(where: str, suggested: str, tmp_path: Path) -> None:
    path = written(tmp_path, changed(where, 1))
    text = complaint(lambda: load_all(path))
    assert where.rsplit(".", maxsplit=1)[-1] in text
    assert str(path) in text
    assert f"did you mean {suggested!r}" in text


@pytest.mark.parametrize(
    ("where", "word", "hint"),
    [
        ("toy.train.precision", "bf17", "did you mean 'bf16'?"),
        ("toy.train.precision", "half", "known: auto, bf16, fp32"),
        ("toy.train.precision", "o'clock", "known: auto, bf16, fp32"),
        ("toy.model.attention.filters", "dens", "did you mean 'dense'?"),
        ("toy.model.attention.kernel_size", 2, "known: 1, 3, 5, 7"),
        ("toy.phases.bce.schedule", "cosine", "known: constant, one_cycle"),
    ],
)
def test_an_unknown_word_is_named_with_those_that_are_known(
    where: str, word: object, hint: str, tmp_path: Path
) -> None:
    text = complaint(lambda: load_all(written(tmp_path, changed(where, word))))
    assert str(word) in text
    assert text.endswith(hint)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("toy.k", 0),
        ("toy.k", "three"),
        ("toy.preprocess.size", 8),
        ("toy.preprocess.size", 32.5),
        ("toy.preprocess.mean", [0.5]),
        ("toy.model.dropout", 1.0),
        ("toy.model.batch_norm", "sometimes"),
        ("toy.model.attention.activation", "relu"),
        ("toy.model.attention.kernel_size", 9),
        ("toy.train.batch_size", 1),
        ("toy.train.precision", "fp16"),
        ("toy.train.augment.zoom", 1.0),
        ("toy.phases.bce.epochs", -1),
        ("toy.phases.bce.patience", 0),
        ("toy.phases.bce.lr.features", -1.0),
        ("toy.phases.joint", {"margin": 0}),
        ("toy.phases.bce", [1, 2]),
        ("toy.phases", "all"),
        ("toy.phases", 3),
    ],
)
def test_an_unfit_value_is_refused(where: str, value: object, tmp_path: Path) -> None:
    path = written(tmp_path, changed(where, value))
    assert str(path) in complaint(lambda: load_all(path))


def test_an_unfit_value_is_located(tmp_path: Path) -> None:
    text = complaint(lambda: load_all(written(tmp_path, changed("toy.phases.bce.lr.features", "fast"))))
    assert "toy.phases.bce" in text
    assert "lr.features" in text


def test_a_missing_file_is_said_with_the_way_out(tmp_path: Path) -> None:
    text = complaint(lambda: load(tmp_path / "params.yaml", "toy.k", int))
    assert "is not there" in text
    assert "project" in text


def test_a_misspelt_data_set_is_suggested(tmp_path: Path) -> None:
    text = complaint(lambda: load(written(tmp_path, {"scenes": block()}), "scene.k", int))
    assert "did you mean 'scenes'" in text


def test_a_block_that_holds_no_sections_is_said(tmp_path: Path) -> None:
    assert "scenes must hold base, preset" in complaint(lambda: load(written(tmp_path, {"scenes": 3}), "scenes.k", int))


def test_of_an_unknown_data_set_those_that_are_known_are_told(tmp_path: Path) -> None:
    tree = {"datasets": ["toy"], "presets": {}, "toy": block(), "scenes": block()}
    text = complaint(lambda: load(written(tmp_path, tree), "nope.k", int))
    assert text.endswith("known: scenes, toy")


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    text = complaint(lambda: load(written(tmp_path, {"toy": {"k": 3}}), "toy.preprocess", Preprocess))
    assert "toy.preprocess" in text


@pytest.mark.parametrize("content", [b"k: [1, 2", b"a: b: c", b"- 1\n- 2", b"", b"\xff\xfe\x00k", b"just words"])
def test_what_is_no_settings_file_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    assert str(path) in complaint(lambda: load(path, "toy.k", int))


def test_sections_cannot_be_changed(tmp_path: Path) -> None:
    section = load(written(tmp_path, changed("toy.k", 3)), "toy.preprocess", Preprocess)
    with pytest.raises(AttributeError):
        section.size = 64  # type: ignore[misc]


def test_a_section_becomes_plain_values() -> None:
    assert msgspec.to_builtins(PhaseParams())["lr"] == {"features": 1e-3, "attention": 1e-4, "classifier": 1e-4}


def with_preset(name: object, preset: object) -> Tree:
    return changed("toy.preset", name) | {"presets": {"paper": preset}}


def test_a_preset_is_laid_over_the_block_that_asks_for_it(tmp_path: Path) -> None:
    preset = {"train": {"batch_size": 99}, "phases": {"bce": {"lr": {"classifier": 0.5}}, "joint": {"margin": 0.7}}}
    path = written(tmp_path, with_preset("paper", preset))
    assert load(path, "toy.train", TrainParams).batch_size == 99
    assert load(path, "toy.train", TrainParams).augment.flip == 0.5
    bce = load(path, "toy.phases.bce", PhaseParams)
    assert (bce.epochs, bce.lr.features, bce.lr.classifier) == (2, 1e-3, 0.5)
    assert load(path, "toy.phases.joint", PhaseParams).margin == 0.7
    assert load(written(tmp_path, with_preset(None, preset)), "toy.train", TrainParams).batch_size == 8


def test_a_block_is_laid_over_its_base_and_its_preset_over_both(tmp_path: Path) -> None:
    tree: Tree = {
        "presets": {
            "large": {"model": {"dropout": 0.5, "backbone": "vgg16"}, "train": {"seed": 5, "batch_size": 5}},
            "paper": {"train": {"batch_size": 7}},
        },
        "toy": {"base": "large", "k": 3, "model": {"dropout": 0.25}, "train": {"batch_size": 6}},
    }
    path = written(tmp_path, tree)
    model, train = load(path, "toy.model", ModelParams), load(path, "toy.train", TrainParams)
    assert (model.dropout, model.backbone, train.seed, train.batch_size) == (0.25, "vgg16", 5, 6)
    tree["toy"]["preset"] = "paper"
    assert load(written(tmp_path, tree), "toy.train", TrainParams).batch_size == 7
    assert set(ParamsFile.read(path).block("toy")) == {"k", "model", "train"}
    tree["toy"]["base"] = "larg"
    text = complaint(lambda: load(written(tmp_path, tree), "toy.k", LabelCount))
    assert "toy.base: no preset 'larg'; did you mean 'large'" in text


def test_what_the_stage_settings_wrote_reads_the_same_and_names_the_file_to_change(tmp_path: Path) -> None:
    path = written(tmp_path, with_preset("paper", {"train": {"batch_size": 99}}) | {"scenes": block()})
    settings.main(path, tmp_path / "settings")
    assert {each.name for each in (tmp_path / "settings").iterdir()} == {"toy.yaml", "scenes.yaml"}
    of_stage, own = ParamsFile.read(tmp_path / "settings" / "toy.yaml"), ParamsFile.read(path)
    assert of_stage.block("toy") == {"refit": True} | own.block("toy")
    assert of_stage.datasets == ("toy",)
    assert f"{path}: in toy.train" in complaint(lambda: of_stage.section("toy.train", Preprocess))
    code = yaml.safe_load((tmp_path / "settings" / "scenes.yaml").read_text())["code"]
    whole = ParamsFile.read(REPOSITORY / "params.yaml")
    assert code == registry.code_fingerprint("scenes", own) != registry.code_fingerprint("nuswide", whole)
    assert registry.code_fingerprint("toy", own) is None


@pytest.mark.parametrize(
    ("name", "preset", "words"),
    [
        ("papre", {}, "did you mean 'paper'"),
        ("paper", 7, "no preset 'paper'"),
        ("paper", {"k": 3}, "presets.paper.k"),
        ("paper", {"phases": {"bced": {}}}, "presets.paper.phases.bced"),
        ("paper", {"phases": {"bce": {"epoch": 1}}}, "epoch"),
        (3, {}, "no preset 3"),
        (["paper"], {}, "no preset ['paper']"),
    ],
)
def test_an_unfit_preset_is_named(name: object, preset: object, words: str, tmp_path: Path) -> None:
    path = written(tmp_path, with_preset(name, preset))
    assert words in complaint(lambda: load_all(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scenes: {k: 4}\nscenes: {k: 5}\n", r"'scenes' stands twice .*line 2, column 1"),
        ("scenes:\n  k: 4\n  phases: {}\n  k: 5\n", r"'k' stands twice .*line 4, column 3"),
        ("datasets: scenes\n", r"datasets must be a list, as in datasets: \[scenes\], not 'scenes'"),
        ("datasets: 3\n", r"datasets must be a list, as in datasets: \[scenes\], not 3"),
        ("datasets:\n", r"datasets must be a list, .*, not None"),
    ],
)
def test_what_would_be_misread_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(ParamsError, match=rf"params\.yaml.*{said}") as caught:
        _ = ParamsFile.read(path).selected
    assert "\n" not in str(caught.value)


def test_a_key_may_replace_that_of_a_merged_mapping(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("scenes: &all {k: 4}\ncorel5k: {<<: *all, k: 5}\n")
    assert ParamsFile.read(path).section("corel5k.k", LabelCount) == 5
