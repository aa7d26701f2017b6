"""Stages `train_bce`, `train_joint` and `train_hard`: one phase, from the bundle of the one before."""

from pathlib import Path

import typer

from aaam_pipeline.cli.guard import guard
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.training.phases import PHASES
from aaam_pipeline.training.run import Places, run_phase


def main(dataset: str, phase: str, device: str = "auto", params: Path = Path("params.yaml")) -> None:
    """Train `phase` of `dataset`."""
    with guard(), reporter() as report:
        after, models = PHASES[phase].after, Path("models", dataset)
        places = Places(
            Path("data/prepared", dataset), models / after if after else None, models / phase,
            Path("scores", dataset, f"{phase}.parquet"), Path("plots", dataset, f"{phase}.csv"),
            Path(".aaam/train", dataset, phase),
        )  # fmt: skip
        run_phase(dataset, phase, params, places, device, report)


if __name__ == "__main__":
    typer.run(main)
