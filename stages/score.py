"""Score a split of a prepared data set with a trained bundle; no stage of the pipeline: for `stages.evaluate`."""

from pathlib import Path
from typing import Literal

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.formats.scores import write_scores
from aaam_pipeline.training.predict import score_split


def main(model: Path, prepared: Path, split: Literal["train", "val", "test"], out: Path, device: str = "auto") -> None:
    """Write the scores and embeddings that `model` gives the images of `split` to the scores file `out`."""
    with cli_errors():
        write_scores(out, score_split(model, prepared, split, device))


if __name__ == "__main__":
    typer.run(main)
