"""Stage `ablate`: the four variants of the ablation, with several seeds."""

from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE
from aaam_pipeline.training.ablation import ablate


def main(
    dataset: str,
    seeds: Annotated[int, typer.Option(min=1)] = 5,
    device: str = "auto",
    params: Path = HERE.params,
) -> None:
    """Train every variant on `dataset` with the seeds 1 to `seeds`."""
    out, work = HERE.ablation_scores(dataset), HERE.work("ablation", dataset)
    with cli_errors(), reporter() as report:
        prepared, chosen = HERE.prepared(dataset), ParamsFile.read(params)
        ablate(dataset, chosen, prepared, out, work, range(1, seeds + 1), device, report)


if __name__ == "__main__":
    typer.run(main)
