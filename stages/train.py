"""The training stages: one phase, from the bundle of the one before; by several processes through `torchrun`."""

from pathlib import Path

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE
from aaam_pipeline.training.phases import read_settings
from aaam_pipeline.training.run import phase_paths, run_phase


def main(dataset: str, phase: str, device: str = "auto", params: Path = HERE.params) -> None:
    """Train `phase` of `dataset`."""
    with cli_errors(), reporter() as report:
        chosen = read_settings(ParamsFile.read(params), dataset, phase)
        run_phase(dataset, phase, chosen, phase_paths(HERE, dataset, phase), device, report)


if __name__ == "__main__":
    typer.run(main)
