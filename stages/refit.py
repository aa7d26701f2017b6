"""Stage `refit`: the phases again on training and validation images, for the network that is used."""

from pathlib import Path

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE
from aaam_pipeline.training.refit import refit


def main(dataset: str, device: str = "auto", params: Path = HERE.params) -> None:
    """Train the phases of `dataset` as validation decided."""
    with cli_errors(), reporter() as report:
        refit(dataset, ParamsFile.read(params), HERE, device, report)


if __name__ == "__main__":
    typer.run(main)
