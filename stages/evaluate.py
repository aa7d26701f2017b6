"""Stage `evaluate`: the test split's scores of every phase -> metrics and plots."""

from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.evaluation.evaluate import evaluate


def main(
    scores: list[Path],
    out: Annotated[Path, typer.Option()],
    neighbours: Annotated[
        list[Path] | None,
        typer.Option(
            help="A method's scores of validation images (stages.score): measure its neighbour evidence, too."
        ),
    ] = None,
) -> None:
    """Evaluate scores files, each named after its method, into the folder `out`."""
    with cli_errors():
        evaluate({path.stem: path for path in scores}, out, {path.stem: path for path in neighbours or []})


if __name__ == "__main__":
    typer.run(main)
