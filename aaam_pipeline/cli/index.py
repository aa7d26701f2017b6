"""`aaam-pipe index` and `verify`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aaam_pipeline.cli import defaults
from aaam_pipeline.cli.render import PlainReporter, json_line, reporter
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.project import HERE
from aaam_pipeline.core.text import counted

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
    root: Annotated[
        list[str] | None,
        typer.Option(help="OLD=NEW: images that were annotated below OLD are below NEW here. Repeatable."),
    ] = None,
    taught: defaults.Taught = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Build the index that `search` and `similar` answer from, or bring it up to date."""
    memory = None if max_memory is None else _bytes(max_memory)
    from aaam_pipeline.formats.roots import MovedRoot
    from aaam_pipeline.formats.taught import read
    from aaam_pipeline.index.build import build
    from aaam_pipeline.index.taught import left_out

    lines = read(defaults.taught(taught, out))
    moved = [MovedRoot.parse(each) for each in root or ()]
    with reporter(quiet) as report:
        manifest = build(annotations or [HERE.annotations], out, report, memory, moved, lines)
        facts = f"{counted(manifest.images, 'image')}, {counted(len(manifest.labels), 'label')}"
        report.info(f"{out}: {facts}, {manifest.failed} left out")
        for remark in left_out(lines, manifest.model_id, manifest.vocabulary):
            report.info(remark)
        if manifest.merged:
            rows = "1 row is of a file" if manifest.merged == 1 else f"{manifest.merged} rows are of files"
            report.info(f"{rows} that other rows stand for: links, files named twice")
        report.info(_vectors(manifest.vectors))
        report.info('next: aaam-pipe search "..." (the words to search for: aaam-pipe labels)')


def _bytes(text: str) -> int:
    from aaam_pipeline.search.filters import parse_number

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


def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of annotations, or an index.")] = HERE.annotations,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, nothing else on stdout.")] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Check annotations or an index: a row for every input, hashes, no duplicates; exit code 4 if damaged."""
    from aaam_pipeline.annotate.verify import verify as verify_annotations
    from aaam_pipeline.index.manifest import is_index
    from aaam_pipeline.index.verify import verify as verify_index

    newer = ""
    with reporter(quiet) as report:
        if is_index(folder):
            manifest = verify_index(folder, report)
            newer = defaults.newer_annotations(folder, manifest)
            model_id, labels = manifest.model_id, len(manifest.labels)
            facts = {"images": manifest.images, "labels": labels}
            sentence = f"{counted(manifest.images, 'image')}, {counted(labels, 'label')}"
        else:
            read = verify_annotations(folder, report)
            model_id, failed = read.model_id, read.inputs - read.successes
            facts = {"inputs": read.inputs, "ok": read.successes, "failed": failed, "parts": read.parts}
            inputs = counted(read.inputs, "input")
            sentence = f"{inputs} = {read.successes} ok + {failed} failed, in {counted(read.parts, 'part')}"
    if as_json:
        json_line(facts | {"model_id": model_id})
    else:
        print(f"{printable(str(folder))}: sound; {sentence}, annotated with {model_id}")
    if newer:
        PlainReporter(quiet).info(newer)
