"""Stage `download`: obtain a data set into data/raw."""

from pathlib import Path

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE
from aaam_pipeline.datasets.registry import download


def main(dataset: str, out: Path, params: Path = HERE.params) -> None:
    """Obtain `dataset` into `out`."""
    with cli_errors(), reporter() as report:
        download(dataset, ParamsFile.read(params), out, report)


if __name__ == "__main__":
    typer.run(main)
