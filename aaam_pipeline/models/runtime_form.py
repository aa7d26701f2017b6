"""The runtime form of a bundle: the network up to the embedding as ONNX, int8 where that loses next to nothing.

Preprocessing and network are one graph, uint8 pixels (B, S, S, 3) -> embedding (B, D). The last layer is no part of it:
`formats.head` computes it in NumPy, in fp32. Equal networks and images give equal bytes.

Chosen on MobileNetV2 and EfficientNet-Lite2 (photographs of `everyday`, mean cosine of embeddings): NNCF on the ONNX
graph is nearer to fp32 than NNCF on OpenVINO's (0.9982 and 0.9981; 0.9967 and 0.9949) and than onnxruntime's own
quantisation (0.956 and 0.895). OpenVINO runs it, and not onnxruntime: `python -m benchmarks backends` compares them.

Shapes: N images, B batch, S side, L labels, D embedding.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.extras import need
from aaam_pipeline.core.progress import NullReporter, Reporter
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.formats.head import LinearHead
from aaam_pipeline.models import bundle
from aaam_pipeline.models.inference import load_openvino, quiet
from aaam_pipeline.models.inference.openvino_backend import OpenVinoBackend, read_form
from aaam_pipeline.models.inference.torch_backend import InferenceModule
from aaam_pipeline.models.info import BundleInfo, FormLoss, Precision, RuntimeForm, familiarity_of
from aaam_pipeline.models.network import Network
from aaam_pipeline.models.preprocess import Preprocess

if TYPE_CHECKING:
    import onnx

FORM = "model.onnx"
MADE_WITH = ("torch", "onnx", "onnxscript", "nncf")
BATCH = 32
# images on which fp32 is compared with torch; two ways of computing it that differ by more are not the same model
COMPARED, SAME = 16, 0.005
# what int8 leaves in fp32: the fastest first, which is taken where it loses little
LADDER: tuple[tuple[str, ...], ...] = ((), ("depthwise",), ("depthwise", "first"))
FIRST = 6
# of scores, in the mean: int8 that changes them more is not taken by itself
MOST_DIFFERENT = 0.01

# `metrics.evaluate`: (scores_NL, targets_NL, k) -> values by name, of which `map` is read
Evaluate = Callable[[NDArray[Any], NDArray[Any], int], Mapping[str, float]]


class LabelledImages(NamedTuple):
    """A labelled split to measure on: `pixels_NSS3` uint8, `targets_NL`, and how mAP is computed of its scores."""

    pixels_NSS3: NDArray[np.uint8]
    targets_NL: NDArray[Any]
    evaluate: Evaluate
    split: str = "val"


class FormRequest(NamedTuple):
    """`auto`: int8 where it loses at most `max_map_loss` points of 100 and changes scores little, else fp32.

    `calibration_images`: how many int8 is calibrated on.
    """

    precision: Literal["auto", "fp32", "int8"] = "auto"
    max_map_loss: float = 0.5
    calibration_images: int = 200


class FormMaker:
    """Makes the runtime form of a network; see `bundle.save`."""

    def __init__(
        self,
        request: FormRequest,
        training_NSS3: NDArray[np.uint8] | None = None,
        labelled: LabelledImages | None = None,
        report: Reporter | None = None,
        like: RuntimeForm | None = None,
    ) -> None:
        """Take the training images that int8 is calibrated on, and the labelled images that it is measured on.

        `like`: the form of a network trained alike; what was decided for it is done, and nothing is measured.

        Raises:
            UsageError: int8 is asked for without training images; a package is missing.
        """
        need("train", "onnx", "onnxscript")
        if request.precision == "int8" and training_NSS3 is None:
            raise UsageError("int8 is calibrated on training images: name the prepared data set with --data")
        if request.precision != "fp32" and training_NSS3 is not None:
            need("train", "nncf")
        self.request, self.training_NSS3, self.labelled = request, training_NSS3, labelled
        self.report, self.like = report or NullReporter(), like

    def __call__(self, network: Network, info: BundleInfo, folder: Path) -> RuntimeForm:
        """Write `model.onnx` of a network on the CPU, in evaluation mode, into `folder`; return what it is.

        Raises:
            IntegrityError: the form does not give the network's embedding.
        """
        made_with = {package: version(package) for package in MADE_WITH}
        plain, head, file = to_onnx(network, info.preprocess), head_of(network, info), folder / FORM
        _write(plain, file)
        self._check(network, info, file, head)
        like = self.like
        if self.labelled is None and like is None and self.request.precision == "int8":
            like = RuntimeForm(FORM, "int8", made_with)
        if like and self.training_NSS3 is not None:
            if like.precision == "int8":
                _write(quantise(plain, self._calibration_images(), like.in_fp32), file)
            return msgspec.structs.replace(like, made_with=made_with)
        if self.request.precision == "fp32" or self.labelled is None or self.training_NSS3 is None:
            return RuntimeForm(FORM, "fp32", made_with)
        exact_NL = self._scores(file, info, head, "fp32")
        for in_fp32 in LADDER:
            if in_fp32 and not kept_nodes(plain, in_fp32):
                continue
            _write(quantise(plain, self._calibration_images(), in_fp32), file)
            loss = _loss(exact_NL, self._scores(file, info, head, "int8"), self.labelled, info)
            form = RuntimeForm(FORM, "int8", made_with, in_fp32, loss)
            but = f", but for {' and '.join(in_fp32)} convolutions" if in_fp32 else ""
            self.report.info(f"int8{but}: {loss.points:.2f} points of mAP lost on {loss.split}")
            if loss.points <= self.request.max_map_loss and loss.mean_difference <= MOST_DIFFERENT:
                return form
        if self.request.precision == "int8":
            return form
        _write(plain, file)
        return RuntimeForm(FORM, "fp32", made_with, loss=loss)

    def _calibration_images(self) -> NDArray[np.uint8]:
        assert self.training_NSS3 is not None
        # spread over the whole split: data sets are often sorted by subject
        count = min(self.request.calibration_images, len(self.training_NSS3))
        rows = np.linspace(0, len(self.training_NSS3) - 1, count).astype(np.int64)
        return np.asarray(self.training_NSS3[rows])

    def _check(self, network: Network, info: BundleInfo, form: Path, head: LinearHead) -> None:
        size = info.preprocess.size
        generator = np.random.default_rng(0)
        pixels_BSS3 = generator.integers(0, 256, (COMPARED, size, size, 3), dtype=np.uint8)
        if self.training_NSS3 is not None:
            pixels_BSS3 = np.array(self.training_NSS3[:COMPARED])
        with torch.inference_mode():
            expected_BL = InferenceModule(network, info.preprocess)(torch.tensor(pixels_BSS3))[0].numpy()
        found_BL = OpenVinoBackend(read_form(form), info, head, "fp32").start(pixels_BSS3)().scores_BL
        if (difference := float(np.abs(found_BL - expected_BL).max())) > SAME:
            raise IntegrityError(f"the runtime form's scores differ by {difference:.3f} from the network's own")

    def _scores(self, form: Path, info: BundleInfo, head: LinearHead, precision: Precision) -> NDArray[np.float32]:
        assert self.labelled is not None
        backend = OpenVinoBackend(read_form(form), info, head, precision)
        pixels_NSS3, scores = self.labelled.pixels_NSS3, []
        with self.report.task(f"measure {precision} on {self.labelled.split}", len(pixels_NSS3)) as advance:
            for first in range(0, len(pixels_NSS3), BATCH):
                scores.append(backend.start(pixels_NSS3[first : first + BATCH])().scores_BL)
                advance(len(scores[-1]))
        return np.concatenate(scores)


class _Embedding(nn.Module):
    """Pixels (B, S, S, 3) -> embeddings (B, D)."""

    def __init__(self, whole: InferenceModule) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, pixels_BSS3: Tensor) -> Tensor:
        embedding_BD: Tensor = self.whole(pixels_BSS3)[1]
        return embedding_BD


def head_of(network: Network, info: BundleInfo) -> LinearHead:
    """Return the last layer of a network, with the calibration and the thresholds of its bundle."""
    weight, bias = (tensor.detach().cpu().float().numpy() for tensor in network.classifier.parameters())
    return LinearHead(weight, bias, info.calibration, info.thresholds)


def to_onnx(network: Network, preprocess: Preprocess) -> "onnx.ModelProto":
    """Return preprocessing and network up to the embedding, for any batch size."""
    pixels_BSS3 = torch.zeros((2, preprocess.size, preprocess.size, 3), dtype=torch.uint8)
    module = _Embedding(InferenceModule(network, preprocess))
    with quiet(), torch.no_grad():
        program = torch.export.export(module, (pixels_BSS3,), dynamic_shapes=({0: torch.export.Dim("batch")},))
        exported = torch.onnx.export(
            program, dynamo=True, input_names=["pixels"], output_names=["embedding"], verbose=False
        )
    assert exported is not None
    model: onnx.ModelProto = exported.model_proto
    # where in the sources an operation comes from: names of folders on this machine
    for part in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.input,
        *model.graph.output,
    ):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    return model


def kept_nodes(model: "onnx.ModelProto", in_fp32: Sequence[str]) -> list[str]:
    """Return the names of the convolutions of these kinds: `depthwise` (and other grouped ones), `first`."""
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    grouped = [each for each in convolutions if any(part.name == "group" and part.i > 1 for part in each.attribute)]
    kinds = {"depthwise": grouped, "first": convolutions[:FIRST]}
    return sorted({node.name for kind in in_fp32 for node in kinds[kind]})


def quantise(
    model: "onnx.ModelProto", pixels_NSS3: NDArray[np.uint8], in_fp32: Sequence[str] = ()
) -> "onnx.ModelProto":
    """Return it in int8 (NNCF, after training), its ranges taken from training images; `in_fp32` is left in fp32.

    It is nearer to the network's own scores, and slower, without depthwise convolutions, whose channels differ too much
    to share a scale, and without the first layers, whose errors all others see.
    """
    load_openvino()
    with quiet():
        import nncf

        images = nncf.Dataset([{"pixels": pixels_NSS3[row : row + 1]} for row in range(len(pixels_NSS3))])
        scope = nncf.IgnoredScope(names=kept_nodes(model, in_fp32), validate=False)
        quantised: onnx.ModelProto = nncf.quantize(model, images, subset_size=len(pixels_NSS3), ignored_scope=scope)
    return quantised


def _write(model: "onnx.ModelProto", path: Path) -> None:
    path.write_bytes(model.SerializeToString(deterministic=True))


def _loss(
    exact_NL: NDArray[np.float32], int8_NL: NDArray[np.float32], images: LabelledImages, info: BundleInfo
) -> FormLoss:
    """Compare scores as annotations have them; rounded, since the last digits differ from machine to machine."""
    exact_NL, int8_NL = (calibrate(scores_NL, info.calibration).astype(np.float32) for scores_NL in (exact_NL, int8_NL))
    exact, int8 = (images.evaluate(each_NL, images.targets_NL, info.k)["map"] for each_NL in (exact_NL, int8_NL))
    difference = float(np.abs(exact_NL - int8_NL).mean())
    return FormLoss(images.split, len(exact_NL), round(exact, 6), round(int8, 6), round(difference, 6))


def export_bundle(
    source: Path,
    out: Path,
    make_form: FormMaker,
    stored: Literal["float32", "float16"] = "float32",
    card: str | None = None,
) -> BundleInfo:
    """Write the bundle `source`, of any version that is read, to `out` with a runtime form.

    Raises:
        UsageError, IntegrityError: as `bundle.load` and `bundle.save`.
    """
    loaded = bundle.load(source, torch.device("cpu"))
    familiarity = familiarity_of(source, loaded.info)
    return bundle.save(loaded.network, loaded.info, out, make_form, familiarity, stored=stored, card=card)
