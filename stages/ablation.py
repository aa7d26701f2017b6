"""Stage `ablate`: the four variants of the ablation, with several seeds."""

from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.training.ablation import ablate


def main(
    dataset: str,
    seeds: Annotated[int, typer.Option(min=1)] = 5,
    device: str = "auto",
    params: Path = Path("params.yaml"),
) -> None:
    """Train every variant on `dataset` with the seeds 1 to `seeds`."""
    out, work = Path("scores", dataset, "ablation"), Path(".aaam/ablation", dataset)
    with cli_errors(), reporter() as report:
        ablate(dataset, params, Path("data/prepared", dataset), out, work, range(1, seeds + 1), device, report)


if __name__ == "__main__":
    typer.run(main)
