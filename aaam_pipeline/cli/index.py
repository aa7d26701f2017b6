"""`aaam-pipe index`."""

from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.cli import defaults
from aaam_pipeline.cli.guard import guard


def index(
    annotations: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders that `aaam-pipe annotate` wrote, of one model.", show_default="annotations"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write the index to; replaced in one step.")] = Path("index"),
    quiet: defaults.Quiet = False,
) -> None:
    """Build the index that `search` and `similar` answer from; nothing is done if it is up to date."""
    with guard():
        from aaam_pipeline.cli.render import reporter
        from aaam_pipeline.index.build import build

        with reporter(quiet) as report:
            manifest = build(annotations or [Path("annotations")], out, report)
            report.say(
                f"{out}: {manifest.images} images, {len(manifest.vocabulary)} labels, {manifest.failed} left out"
            )
            report.say('next: aaam-pipe search "..." (the words to search for: aaam-pipe labels)')
