"""`aaam-pipe annotate`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.cli import defaults
from aaam_pipeline.cli.guard import guard


class OnExisting(StrEnum):
    """What to do with an output folder that is there already."""

    RESUME = "resume"
    OVERWRITE = "overwrite"
    ERROR = "error"


def annotate(
    images: Annotated[list[Path], typer.Argument(help="Folders (searched recursively) and image files.")],
    out: Annotated[Path, typer.Option(help="Folder to write the annotations to.")] = Path("annotations"),
    model: defaults.Model = None,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Images that the model sees at once.", envvar="AAAM_BATCH_SIZE")
    ] = 32,
    num_workers: Annotated[
        int | None,
        typer.Option(min=0, help="Decoding threads. Default: one a core.", envvar="AAAM_NUM_WORKERS"),
    ] = None,
    device: defaults.Device = "auto",
    top: Annotated[
        int | None, typer.Option("--top", "-t", min=1, help="At most K labels an image; alone: its K best ones.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Assign labels from this score on. Default: the model's own, one a label."),
    ] = None,
    on_existing: Annotated[
        OnExisting, typer.Option(help="If --out is there: go on with the same work, replace it, or stop.")
    ] = OnExisting.RESUME,
    max_failure_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Exit with 3 when a larger share of the images failed.")
    ] = 0.1,
    quiet: defaults.Quiet = False,
) -> None:
    """Annotate photographs: one row with labels and scores for every image, as Parquet.

    Every input gets a row; one that cannot be decoded is a row that says why. A run that was stopped goes on where it
    was when the same command is given again.
    """
    with guard():
        # what needs no torch is checked first: a wrong path is answered at once
        chosen = defaults.model(model)
        from aaam_pipeline.annotate import sources

        inputs = sources.find(images)
        from aaam_pipeline.annotate import runner
        from aaam_pipeline.annotate.mapper import Assignment
        from aaam_pipeline.cli.render import reporter

        options = runner.Options(
            batch_size=batch_size,
            num_workers=num_workers,
            device=device,
            assignment=Assignment(top, threshold),
            on_existing=on_existing.value,
            max_failure_rate=max_failure_rate,
        )
        with reporter(quiet) as report:
            manifest = runner.annotate(inputs, chosen, out, options, report)
            report.say(
                f"{out}: {manifest.successes} of {manifest.inputs} images annotated, {_failed(manifest.failures)}"
            )
            report.say(f"next: aaam-pipe index {out}")


def _failed(failures: dict[str, int]) -> str:
    kinds = ", ".join(f"{count} {kind}" for kind, count in failures.items())
    return f"{sum(failures.values())} failed ({kinds})" if failures else "none failed"
