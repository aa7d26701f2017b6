"""The training stages: one phase, from the bundle of the one before; by several processes through `torchrun`."""

from pathlib import Path

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.training import settings
from aaam_pipeline.training.run import places, run_phase


def main(dataset: str, phase: str, device: str = "auto", params: Path = Path("params.yaml")) -> None:
    """Train `phase` of `dataset`."""
    with cli_errors(), reporter() as report:
        chosen = settings.read(params, dataset, phase)
        run_phase(dataset, phase, chosen, places(dataset, phase, Path("data/prepared", dataset)), device, report)


if __name__ == "__main__":
    typer.run(main)
