"""Several phases in turn, each from the last one's network, in a work folder: what is finished is not trained again."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from aaam_pipeline.core.artifacts import write_bytes
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.training.distributed import DistributedContext
from aaam_pipeline.training.phases import PhaseSettings
from aaam_pipeline.training.run import PhasePaths, fingerprint, run_phase


class Link(NamedTuple):
    """A phase of a chain: its settings, the folder that it works in, and how a report calls it.

    `decided`: for a phase that trains on validation as well, the paths of the same phase that was validated.
    `origin`: a bundle that the first phase takes its network from.
    """

    phase: str
    settings: PhaseSettings
    folder: Path
    title: str
    decided: PhasePaths | None = None
    origin: Path | None = None


def train_chain(dataset: str, links: Iterable[Link], prepared: Path, device: str, report: Reporter) -> list[PhasePaths]:
    """Train the phases that are not finished with the same settings, data and code; return the paths of all.

    Raises:
        UsageError, DatasetError, TrainingError, IntegrityError: as `run_phase`.
    """
    trained: list[PhasePaths] = []
    for phase, settings, folder, title, decided, origin in links:
        start = trained[-1].bundle if trained else None
        paths = PhasePaths(
            prepared, start, folder / "model", folder / "scores.parquet", folder / "history.csv",
            None, folder / "validation.json", folder / "work", decided, origin,
        )  # fmt: skip
        finished, identity = (
            folder / "finished",
            fingerprint(dataset, phase, settings, paths, DistributedContext(device)),
        )
        if not finished.is_file() or finished.read_bytes() != identity.encode():
            report.info(title)
            run_phase(dataset, phase, settings, paths, device, report)
            write_bytes(finished, identity.encode())
        trained.append(paths)
    return trained
