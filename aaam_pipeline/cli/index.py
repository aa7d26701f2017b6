"""`aaam-pipe index`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aaam_pipeline.cli import defaults
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.project import HERE

if TYPE_CHECKING:
    from aaam_pipeline.index.manifest import VectorsInfo


def index(
    annotations: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders that `aaam-pipe annotate` wrote, of one model.", show_default="annotations"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder to write the index to; replaced in one step.")] = HERE.index,
    max_memory: Annotated[
        str | None,
        typer.Option(help="Memory to build with, as in 8GB; the vectors get half of it. Default: half of all."),
    ] = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Build the index that `search` and `similar` answer from, or bring it up to date."""
    memory = None if max_memory is None else _bytes(max_memory)
    from aaam_pipeline.cli.render import reporter
    from aaam_pipeline.index.build import build

    with reporter(quiet) as report:
        manifest = build(annotations or [HERE.annotations], out, report, memory)
        report.info(f"{out}: {manifest.images} images, {len(manifest.vocabulary)} labels, {manifest.failed} left out")
        report.info(_vectors(manifest.vectors))
        report.info('next: aaam-pipe search "..." (the words to search for: aaam-pipe labels)')


def _bytes(text: str) -> int:
    from aaam_pipeline.search.values import parse_number

    try:
        return int(parse_number("bytes", text))
    except ValueError:
        raise UsageError(f"--max-memory {text}: this is no size; write 8GB, 500MB or a number of bytes") from None


def _vectors(info: "VectorsInfo") -> str:
    if info.kind == "flat":
        return "similar images: all are compared"
    bits = {"fp16": 16, "sq8": 8}[info.codec]
    return (
        f"similar images: {info.probes} of {info.lists} lists are compared, {bits} bits a number; they hold "
        f"{info.recall:.1%} of the 10 nearest"
    )
