"""Stage `features`: the embedding of every picture of a data set, computed once for the compared methods."""

from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.baselines.features import IMAGENET, compute
from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE


def main(
    dataset: str,
    model: Annotated[str, typer.Option(help="a bundle's folder, or: imagenet")] = IMAGENET,
    out: Path | None = None,
    device: str = "auto",
    params: Path = HERE.params,
) -> None:
    """Compute the features of `dataset` into `out`."""
    with cli_errors(), reporter() as report:
        folder = out or HERE.features(dataset)
        compute(dataset, ParamsFile.read(params), HERE.prepared(dataset), model, folder, device, report)


if __name__ == "__main__":
    typer.run(main)
