"""The engine for one machine: this process makes all parts."""

from collections.abc import Sequence

from aaam_pipeline.annotate.backends import Backend
from aaam_pipeline.annotate.parts import AnnotateJob, PartMaker
from aaam_pipeline.core.progress import Advance, Reporter


def run(
    job: AnnotateJob, numbers: Sequence[int], advance: Advance, report: Reporter, backend: Backend | None = None
) -> None:
    """Make the parts `numbers`."""
    with PartMaker(job, backend) as maker:
        report.info(f"annotating with {maker.mapper.info.model_id} ({job.model}), {maker.mapper.backend.title}")
        for _ in maker.make(numbers, advance):
            pass
