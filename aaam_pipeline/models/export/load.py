"""From the files of an export to what runs them; needs the export's runtime, but not torch."""

from pathlib import Path

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.models.export.manifest import ExportInfo
from aaam_pipeline.models.inference.openvino_backend import OpenVinoBackend
from aaam_pipeline.models.inference.runtimes import load_openvino
from aaam_pipeline.models.info import BundleInfo


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
