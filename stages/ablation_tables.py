"""Stage `tables` of the ablation: scores of all variants and seeds -> ablation.csv and reports/ablation.md."""

from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.core.project import HERE
from aaam_pipeline.evaluation.ablation import summarise


def main(datasets: list[str], page: Annotated[Path, typer.Option()]) -> None:
    """Sum up the ablation of `datasets`."""
    with cli_errors():
        summarise(datasets, HERE.scores_root, HERE.reports_root, page)


if __name__ == "__main__":
    typer.run(main)
