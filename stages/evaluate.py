"""Stage `evaluate`: the test split's scores of every phase -> metrics and plots."""

from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.evaluation.evaluate import evaluate


def main(scores: list[Path], out: Annotated[Path, typer.Option()]) -> None:
    """Evaluate scores files, each named after its method, into the folder `out`."""
    with cli_errors():
        evaluate({path.stem: path for path in scores}, out)


if __name__ == "__main__":
    typer.run(main)
