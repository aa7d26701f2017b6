"""`export.json`: a model exported for another runtime, in a folder beside its bundle. Reading it loads no runtime.

`openvino`: `model.xml` and `model.bin`; `onnx`: `model.onnx`. Either takes uint8 pixels (B, S, S, 3) and gives scores
(B, L) and embeddings (B, D): preprocessing and sigmoid are inside. The folder is usable without the bundle.
"""

from pathlib import Path

import msgspec

from aaam_pipeline.core.artifacts import absolute, file_sha256, read_checksummed
from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.models.inference import Precision, Runtime, load_openvino
from aaam_pipeline.models.inference.openvino_backend import OpenVinoBackend
from aaam_pipeline.models.info import BundleInfo, check

FORMAT = "aaam-export"
VERSION = 2
MANIFEST = "export.json"
# what marks the annotations of a precision whose scores differ from the model's own by more than 0.005
SUFFIXES: dict[Precision, str] = {"fp32": "", "bf16": "-bf16", "int8": "-int8"}
FASTEST_FIRST: tuple[Precision, ...] = ("int8", "bf16", "fp32")


class Measured(msgspec.Struct, frozen=True):
    """What an export loses and gains beside torch fp32, on a split: mAP in [0, 1], images/s, score differences."""

    split: str
    images: int
    map_torch: float
    map_export: float
    rate_torch: float
    rate_export: float
    max_difference: float
    mean_difference: float

    @property
    def map_loss(self) -> float:
        """Return the mAP lost, in points of 100."""
        return 100 * (self.map_torch - self.map_export)


class ExportInfo(msgspec.Struct, frozen=True):
    """`export.json`. `info` is the bundle's, its model id with the suffix of the precision.

    `files`: the SHA-256 of each; `made_with`: versions; `measured`: None where there were no labelled images.
    `hash`: of all other fields, filled in when it is written.
    """

    format: str
    version: int
    runtime: Runtime
    precision: Precision
    info: BundleInfo
    embedding_dim: int
    files: dict[str, str]
    made_with: dict[str, str]
    measured: Measured | None = None
    hash: str = ""


def is_export(folder: Path) -> bool:
    """Tell whether a folder is an export, not a bundle."""
    return (folder / MANIFEST).is_file()


def read_exported(folder: Path) -> ExportInfo:
    """Read `export.json` alone.

    Raises:
        UsageError: `folder` is no export.
        IntegrityError: it is damaged, or of a version this program does not know.
    """

    def outdated(found: ExportInfo) -> str:
        if (found.format, found.version) == (FORMAT, VERSION):
            return ""
        return f"{folder}: export format {found.format!r} version {found.version}, but {VERSION} is known"

    exported = read_checksummed(folder / MANIFEST, ExportInfo, "an exported model", outdated)
    check(folder, exported.info)
    return exported


def check_files(folder: Path, exported: ExportInfo) -> None:
    """Compare the model's files with their hashes.

    Raises:
        IntegrityError: one is missing or damaged.
    """
    for name, digest in exported.files.items():
        file = folder / name
        if not file.is_file() or file_sha256(file) != digest:
            raise IntegrityError(f"{file} is missing or damaged: not what {folder / MANIFEST} names; export it again")


def load_export(folder: Path, export: ExportInfo, info: BundleInfo) -> OpenVinoBackend:
    """Load the files of an export; `info` is what annotations are marked with. OpenVINO reads ONNX files too.

    Raises:
        UsageError: the processor cannot compute in the export's precision.
        IntegrityError: OpenVINO cannot read them.
    """
    file = folder / ("model.xml" if export.runtime == "openvino" else "model.onnx")
    try:
        model = load_openvino().Core().read_model(file)
    except RuntimeError as error:
        raise IntegrityError(f"{file} cannot be read: {str(error).splitlines()[-1]}") from None
    return OpenVinoBackend(model, info, export.embedding_dim, export.precision)


def export_dir(bundle: Path, runtime: Runtime, precision: Precision) -> Path:
    """Return the default folder of an export: beside its bundle, which is an output of DVC and holds nothing else."""
    bundle = absolute(bundle)
    return bundle.with_name(f"{bundle.name}-{runtime}-{precision}")


def fastest_beside(bundle: Path, info: BundleInfo) -> Path | None:
    """Return the fastest OpenVINO export beside a bundle that is of the same weights, or None.

    Raises:
        IntegrityError: an export there is damaged.
    """
    for precision in FASTEST_FIRST:
        folder = export_dir(bundle, "openvino", precision)
        if is_export(folder) and same_model(read_exported(folder).info, info):
            return folder
    return None


def same_model(one: BundleInfo, other: BundleInfo) -> bool:
    """Tell whether two infos are of the same weights on the same input; thresholds and calibration may be newer."""
    return (one.weights_sha256, one.preprocess, one.vocabulary) == (
        other.weights_sha256,
        other.preprocess,
        other.vocabulary,
    )


def marked(info: BundleInfo, precision: Precision) -> BundleInfo:
    """Return a bundle's info as annotations made with a precision are marked."""
    return msgspec.structs.replace(info, model_id=info.model_id + SUFFIXES[precision])
