import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.formats.calibration import Calibration, calibrate
from aaam_pipeline.formats.head import LinearHead, read_head, write_head
from aaam_pipeline.formats.model_ids import embedding_of, model_id_of

LINE = Calibration([0.5, 2.0, 1.0], [1.0, -1.0, 0.0])


@pytest.fixture
def head() -> LinearHead:
    generator = np.random.default_rng(1)
    weight_LD, bias_L = generator.normal(size=(3, 8)), generator.normal(size=3)
    return LinearHead(weight_LD.astype(np.float32), bias_L.astype(np.float32), LINE, [0.5, 0.2, 0.9])


def test_scores_are_those_of_a_linear_layer_calibrated(head: LinearHead) -> None:
    embedding_ND = np.random.default_rng(2).normal(size=(20, 8)).astype(np.float32)
    layer = torch.nn.functional.linear(*map(torch.tensor, (embedding_ND, head.weight_LD, head.bias_L)))
    np.testing.assert_allclose(head.logits(embedding_ND), layer.numpy(), atol=1e-5)
    np.testing.assert_allclose(head.probabilities(embedding_ND), layer.sigmoid().numpy(), atol=1e-6)
    expected_NL = calibrate(layer.sigmoid().numpy(), LINE)
    np.testing.assert_allclose(head.scores(embedding_ND), expected_NL, atol=1e-5)
    np.testing.assert_array_equal(head.assigned(embedding_ND), head.scores(embedding_ND) >= np.float32([0.5, 0.2, 0.9]))
    assert head.embedding_dim == 8
    assert head.scores(embedding_ND[:0]).shape == (0, 3)


def test_what_is_written_is_read_back(head: LinearHead, tmp_path: Path) -> None:
    write_head(tmp_path / "head.safetensors", head)
    found = read_head(tmp_path / "head.safetensors", head.calibration, head.thresholds)
    assert found.digest(["a", "b", "c"]) == head.digest(["a", "b", "c"])
    write_head(tmp_path / "half.safetensors", head, "float16")
    half = read_head(tmp_path / "half.safetensors")
    assert half.weight_LD.dtype == half.bias_L.dtype == np.float32
    np.testing.assert_allclose(half.weight_LD, head.weight_LD, rtol=1e-3)


def test_every_part_of_a_head_changes_its_digest(head: LinearHead) -> None:
    words = ["a", "b", "c"]
    others = [
        head._replace(bias_L=head.bias_L + 1),
        head._replace(weight_LD=head.weight_LD * 2),
        head._replace(calibration=None),
        head._replace(thresholds=[0.5, 0.2, 0.8]),
    ]
    assert len({head.digest(words), head.digest(words[::-1]), *(each.digest(words) for each in others)}) == 6


def test_a_file_that_holds_no_head_is_an_integrity_error(head: LinearHead, tmp_path: Path) -> None:
    path = tmp_path / "head.safetensors"
    with pytest.raises(IntegrityError, match="holds no head"):
        read_head(path)
    path.write_bytes(b"no tensors")
    with pytest.raises(IntegrityError, match="holds no head"):
        read_head(path)
    write_head(path, head._replace(bias_L=head.bias_L[:2]))
    with pytest.raises(IntegrityError, match="holds no head"):
        read_head(path)


def test_a_head_needs_no_torch() -> None:
    program = "import sys, aaam_pipeline.formats.head, safetensors.numpy; print('torch' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize("embedding", ["0123abcd", "0123abcd-int8", "0123abcd-bf16"])
@pytest.mark.parametrize("name", ["scenes-hard", "a", "mine-0123abcd-89ef4567"])
def test_the_embedding_is_read_from_the_id(name: str, embedding: str) -> None:
    assert embedding_of(model_id_of(name, embedding, "89ef4567")) == embedding


@pytest.mark.parametrize("before", ["scenes-hard-0123456789ab", "scenes-hard-0123456789ab-int8", "toy"])
def test_an_id_of_version_2_is_one_part(before: str) -> None:
    assert embedding_of(before) == before
