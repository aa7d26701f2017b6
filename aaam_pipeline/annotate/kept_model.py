"""Which model a folder of annotations goes on with: the one it was made with, as long as that is found."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from aaam_pipeline.annotate import backends
from aaam_pipeline.annotate.options import BackendName
from aaam_pipeline.annotate.staging import StagingDir
from aaam_pipeline.core.artifacts import real_path
from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.formats.parts import AnnotationsManifest
from aaam_pipeline.models import library
from aaam_pipeline.models.info import Precision, read_info


class KeptModel(NamedTuple):
    """A bundle, and the backend with which it annotates as `model_id`."""

    folder: Path
    backend: BackendName
    model_id: str


def find(
    out: Path, backend: BackendName, device: str, model: Path | None, others: Sequence[Path] | None
) -> KeptModel | None:
    """Return what the annotations in `out` were made with; None: `model` makes the same, or it is not found.

    `model` is looked at first: it may be its other precision that was used. With a backend that is not `auto`, nothing
    is chosen. `others`: bundles that may be it, after the one at the path that the annotations name; None: no other
    than `model`, which was named.
    """
    made = _manifest(out) if backend == "auto" else None
    if made is None:
        return None
    try:
        if model and backends.model_info(backend, model, device).model_id == made.model_id:
            return None
    except AaamError:
        # said when it is loaded
        return None
    folders = [model] if model else []
    if others is not None:
        folders += [real_path(Path(located(made.model_path, out))), *others]
    found = library.with_id(made.model_id, folders)
    return found and KeptModel(found[0], _backend(*found), made.model_id)


def _manifest(out: Path) -> AnnotationsManifest | None:
    try:
        staging = StagingDir(out)
        there = staging.published() or staging.interrupted()
    except (AaamError, OSError):
        # said when the folder is opened to be continued
        return None
    return there.manifest if there else None


def _backend(folder: Path, precision: Precision) -> BackendName:
    if precision == "bf16":
        return "torch-bf16"
    form = read_info(folder).runtime
    if form is None or form.precision != precision:
        return "torch"
    # fp32 is the same on a GPU
    return "auto" if precision == "fp32" else "openvino"
