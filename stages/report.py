"""Stage `report`: a data set's scores -> the paper's tables with ours beside them, as Markdown and as a page."""

from pathlib import Path

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE
from aaam_pipeline.evaluation import inputs, report


def main(dataset: str, out: Path, params: Path = HERE.params) -> None:
    """Write the report on `dataset` into `out`/<dataset>."""
    with cli_errors():
        found = inputs.read(dataset, inputs.Sources(params=ParamsFile.read(params)))
        report.write([found], out, out / dataset / "report.html")


if __name__ == "__main__":
    typer.run(main)
