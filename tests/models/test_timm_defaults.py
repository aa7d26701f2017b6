"""What params.yaml leaves to a backbone of timm: size, mean, std and interpolation."""

from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from aaam_pipeline.core.errors import ParamsError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.models.defaults import read_preprocess
from aaam_pipeline.models.preprocess import Preprocess, leaves_to_backbone
from stages import prepare as prepare_stage
from stages import settings as settings_stage

timm = pytest.importorskip("timm")


def written(tmp_path: Path, model: dict[str, Any], preprocess: dict[str, Any] | None) -> Path:
    path = tmp_path / "params.yaml"
    block = {"k": 3, "model": model} | ({} if preprocess is None else {"preprocess": preprocess})
    path.write_text(yaml.safe_dump({"datasets": ["toy"], "toy": block}))
    return path


LITE2 = {"backbone": "timm/tf_efficientnet_lite2", "weights": "none"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, Preprocess(260, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")),
        ({}, Preprocess(260, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic")),
        ({"size": 224, "interpolation": "bilinear"}, Preprocess(224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bilinear")),
        ({"mean": [0.1, 0.2, 0.3]}, Preprocess(260, (0.1, 0.2, 0.3), (0.5, 0.5, 0.5), "bicubic")),
    ],
)
def test_what_params_leave_out_is_what_the_backbone_was_trained_with(
    given: dict[str, Any] | None, expected: Preprocess, tmp_path: Path
) -> None:
    path = written(tmp_path, LITE2, given)
    assert read_preprocess(ParamsFile.read(path), "toy") == expected
    # the stages read what the stage `settings` has completed
    settings_stage.main(path, tmp_path / "settings")
    completed = ParamsFile.read(tmp_path / "settings" / "toy.yaml")
    assert not leaves_to_backbone(completed.block("toy"))
    assert completed.section("toy.preprocess", Preprocess) == expected


def test_prepare_does_not_guess_what_is_left_to_the_backbone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, LITE2, {"size": 224})
    with pytest.raises(typer.Exit):
        prepare_stage.main("toy", tmp_path / "raw", tmp_path / "out", path)
    assert "--params data/settings/toy.yaml" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_other_backbones_have_the_defaults(tmp_path: Path) -> None:
    path = written(tmp_path, {"backbone": "vgg16"}, {"size": 96})
    assert read_preprocess(ParamsFile.read(path), "toy") == Preprocess(96)
    settings_stage.main(path, tmp_path / "settings")
    assert ParamsFile.read(tmp_path / "settings" / "toy.yaml").block("toy")["preprocess"] == {"size": 96}


def test_mistakes_are_named_where_they_are(tmp_path: Path) -> None:
    path = written(tmp_path, LITE2, {"sise": 224})
    with pytest.raises(ParamsError, match=r"toy.preprocess.*sise.*did you mean 'size'"):
        read_preprocess(ParamsFile.read(path), "toy")
