"""Stage `download`: put a data set, or a description of where it is, into a folder of its own."""

from pathlib import Path

from aaam_pipeline.core.artifacts import publish, work_folder
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets import registry


def download(name: str, params: ParamsFile, out: Path, report: Reporter) -> None:
    """Obtain the data set `name` into `out`, which appears only when it is whole."""
    own = registry.load_params(name, params)
    work = work_folder(out)
    registry.get(name).download(own, work, report)
    publish(work, out)
