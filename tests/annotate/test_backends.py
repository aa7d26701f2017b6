from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from aaam_pipeline.annotate import backends
from aaam_pipeline.annotate.backends import Backend
from aaam_pipeline.core.errors import AaamError, DeviceError, IntegrityError, UsageError
from aaam_pipeline.models import bundle
from aaam_pipeline.models.inference.torch_backend import (
    CapturedGraph,
    CudaGraphRunner,
    Forward,
    InferenceModule,
    TorchBackend,
)

EQUAL = 0.005


def pictures(count: int) -> NDArray[np.uint8]:
    blocks = np.random.default_rng(count).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    return blocks.repeat(8, 1).repeat(8, 2)


@pytest.fixture(scope="module")
def with_torch(formed_bundle: Path) -> Backend:
    return backends.create("torch", formed_bundle, "cpu")


@pytest.fixture(scope="module")
def with_openvino(formed_bundle: Path) -> Backend:
    return backends.create("openvino", formed_bundle, "cpu")


@pytest.mark.parametrize("count", [1, 7, 32])
def test_backends_give_the_same_scores_and_order(count: int, with_torch: Backend, with_openvino: Backend) -> None:
    pixels = pictures(count)
    one, other = with_torch.start(pixels)(), with_openvino.start(pixels)()
    assert one.scores_BL.shape == (count, 5)
    assert one.embedding_BD.shape == (count, with_torch.embedding_dim)
    np.testing.assert_allclose(one.scores_BL, other.scores_BL, atol=EQUAL)
    np.testing.assert_allclose(one.embedding_BD, other.embedding_BD, atol=0.01, rtol=0.01)
    assert (one.scores_BL.argsort(1) == other.scores_BL.argsort(1)).all()
    assert with_torch.info == with_openvino.info
    assert with_torch.embedding_dim == with_openvino.embedding_dim


@pytest.mark.parametrize("name", ["with_torch", "with_openvino"])
def test_scores_do_not_depend_on_the_batch(name: str, request: pytest.FixtureRequest) -> None:
    backend = request.getfixturevalue(name)
    pixels = pictures(37)
    whole = backend.start(pixels)()
    pieces = [backend.start(pixels[first : first + 10]) for first in range(0, 37, 10)]
    scores_NL = np.concatenate([piece().scores_BL for piece in pieces])
    np.testing.assert_allclose(scores_NL, whole.scores_BL, atol=EQUAL)
    assert whole.scores_BL.dtype == whole.embedding_BD.dtype == np.float32


@pytest.mark.parametrize("name", ["with_torch", "with_openvino"])
def test_an_empty_batch_has_an_empty_answer(name: str, request: pytest.FixtureRequest) -> None:
    answer = request.getfixturevalue(name).start(pictures(0))()
    assert answer.scores_BL.shape == (0, 5)
    assert answer.embedding_BD.shape[0] == 0


@pytest.mark.parametrize("name", ["with_torch", "with_openvino"])
def test_pixels_may_be_read_only_and_answers_are_the_callers_own(name: str, request: pytest.FixtureRequest) -> None:
    backend, pixels = request.getfixturevalue(name), pictures(9)
    pixels.flags.writeable = False
    first = backend.start(pixels)()
    kept = first.scores_BL.copy()
    backend.start(pictures(9)[::-1].copy())()
    np.testing.assert_array_equal(first.scores_BL, kept)


def test_titles_are_for_people(with_torch: Backend, with_openvino: Backend) -> None:
    assert (with_torch.title, with_openvino.title) == ("torch on cpu", "OpenVINO fp32 on cpu")


def test_bf16_is_marked_as_another_model(tiny_bundle: Path, with_torch: Backend) -> None:
    backend = backends.create("torch-bf16", tiny_bundle, "cpu")
    assert backend.title == "torch on cpu (bf16)"
    own = with_torch.info
    assert backend.info.model_id == f"toy-bce-{own.embedding_id}-bf16-{own.head_id}"
    scores_BL = backend.start(pictures(7))().scores_BL
    assert scores_BL.dtype == np.float32
    np.testing.assert_allclose(scores_BL, with_torch.start(pictures(7))().scores_BL, atol=0.1)


@pytest.mark.parametrize(("name", "file"), [("torch", "model.safetensors"), ("openvino", "model.onnx")])
def test_damaged_weights_are_an_integrity_error(name: Any, file: str, formed_bundle: Path, tmp_path: Path) -> None:
    for each in formed_bundle.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    weights = tmp_path / file
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(IntegrityError, match="damaged"):
        backends.create(name, tmp_path, "cpu")


def test_a_device_that_is_not_there_is_named(tiny_bundle: Path, formed_bundle: Path) -> None:
    with pytest.raises(DeviceError, match="cuda:77"):
        backends.create("torch", tiny_bundle, "cuda:77")
    with pytest.raises(UsageError, match="CPU, not on cuda"):
        backends.create("openvino", formed_bundle, "cuda")


class Small(InferenceModule):
    """Runs out of memory above `largest` images."""

    largest = 4
    sizes: list[int]

    def forward(self, pixels_BSS3: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.sizes.append(len(pixels_BSS3))
        if len(pixels_BSS3) > self.largest:
            raise torch.OutOfMemoryError
        return super().forward(pixels_BSS3)


def small(folder: Path) -> Small:
    loaded = bundle.load(folder, torch.device("cpu"))
    whole = Small(loaded.network, loaded.info.preprocess)
    whole.sizes = []
    return whole


def test_out_of_memory_halves_the_batch_and_continues(tiny_bundle: Path, with_torch: Backend) -> None:
    whole, said = small(tiny_bundle), list[str]()
    backend = TorchBackend(whole, with_torch.info, notify=said.append)
    pixels = pictures(30)
    np.testing.assert_allclose(backend.start(pixels)().scores_BL, with_torch.start(pixels)().scores_BL, atol=1e-4)
    assert whole.sizes[:5] == [30, 15, 7, 3, 3]
    assert said == ["cpu ran out of memory: continuing with 3 images at once"]
    whole.sizes.clear()
    assert len(backend.start(pixels)().scores_BL) == 30
    assert whole.sizes == [3] * 10
    assert len(said) == 1


def test_no_memory_for_one_image_is_one_clear_line(tiny_bundle: Path, with_torch: Backend) -> None:
    whole = small(tiny_bundle)
    whole.largest = 0
    with pytest.raises(AaamError, match="no memory for even one image") as caught:
        TorchBackend(whole, with_torch.info).start(pictures(8))
    assert "\n" not in str(caught.value)


def doubled(pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (pixels * 2,)


def test_a_forward_pass_is_recorded_for_the_size_that_comes_twice_and_for_no_other() -> None:
    recorded: list[int] = []

    def record(forward: Forward, pixels: torch.Tensor) -> Forward:
        recorded.append(len(pixels))
        return lambda given: (forward(given)[0] + 1,)

    run = CudaGraphRunner(doubled, record)
    answers = [run(torch.ones(size))[0] for size in (3, 8, 8, 8, 5, 8, 5, 5)]
    assert recorded == [8]
    # one more where the recording answered
    assert [int(answer[0]) for answer in answers] == [2, 2, 3, 3, 2, 3, 2, 2]
    run.forget()
    assert [int(run(torch.ones(5))[0][0]) for _ in range(2)] == [2, 3]
    assert recorded == [8, 5]


def test_a_forward_pass_that_cannot_be_recorded_is_run_as_it_is_and_not_tried_again() -> None:
    tried = []

    def record(forward: Forward, pixels: torch.Tensor) -> Forward:
        tried.append(pixels)
        raise torch.OutOfMemoryError

    run = CudaGraphRunner(doubled, record)
    assert [int(run(torch.ones(4))[0][0]) for _ in range(4)] == [2] * 4
    assert len(tried) == 1


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_recording_gives_the_answers_of_every_batch(tiny_bundle: Path, with_torch: Backend) -> None:
    backend = backends.create("torch", tiny_bundle, "cuda")
    batches = [pictures(32)[place::8].repeat(2, 0) for place in range(8)]
    # all begun before the first is asked for: none may overwrite another's answer
    begun = [backend.start(batch) for batch in batches]
    for batch, finish in zip(batches, begun, strict=True):
        np.testing.assert_allclose(finish().scores_BL, with_torch.start(batch)().scores_BL, atol=EQUAL)
    assert isinstance(backend, TorchBackend)
    assert isinstance(backend._on_gpu._captured, CapturedGraph)
