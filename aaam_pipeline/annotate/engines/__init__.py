"""Who makes the parts: this process (`local`), or a Ray cluster (`ray`). The work on a part is the same (`parts`)."""

from collections.abc import Sequence

from aaam_pipeline.annotate.backends import Backend
from aaam_pipeline.annotate.options import EngineName
from aaam_pipeline.annotate.parts import AnnotateJob
from aaam_pipeline.core.progress import Advance, Reporter


def run(
    name: EngineName,
    job: AnnotateJob,
    numbers: Sequence[int],
    advance: Advance,
    report: Reporter,
    backend: Backend | None = None,
    ray_address: str | None = None,
) -> None:
    """Make the parts `numbers` of a job; `backend`: the model, where it is loaded in this process already.

    Raises:
        AaamError: the model cannot be loaded, or the engine is not there.
    """
    if name == "ray":
        from aaam_pipeline.annotate.engines import cluster

        cluster.run(job, numbers, advance, report, ray_address)
    else:
        from aaam_pipeline.annotate.engines import local

        local.run(job, numbers, advance, report, backend)
