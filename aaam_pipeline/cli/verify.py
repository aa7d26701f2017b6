"""`aaam-pipe verify`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from aaam_pipeline.cli import defaults
from aaam_pipeline.core.project import HERE


def verify(
    folder: Annotated[Path, typer.Argument(help="Folder of annotations, or an index.")] = HERE.annotations,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, nothing else on stdout.")] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Check annotations or an index: a row for every input, hashes, no duplicates; exit code 4 if damaged."""
    from aaam_pipeline.index.verify import is_index

    facts, sentence = (_index if is_index(folder) else _annotations)(folder, quiet)
    if as_json:
        import json

        print(json.dumps(facts))
    else:
        print(f"{folder}: sound; {sentence}")


def _annotations(folder: Path, quiet: bool) -> tuple[dict[str, Any], str]:
    """Return what is true of annotations, as facts and as text."""
    from aaam_pipeline.annotate import verify
    from aaam_pipeline.cli.render import reporter

    with reporter(quiet) as report:
        manifest = verify.verify(folder, report)
    failed = manifest.inputs - manifest.successes
    facts = {
        "inputs": manifest.inputs,
        "ok": manifest.successes,
        "failed": failed,
        "parts": manifest.parts,
        "model_id": manifest.model_id,
    }
    return facts, (
        f"{manifest.inputs} inputs = {manifest.successes} ok + {failed} failed, in {manifest.parts} parts, "
        f"annotated with {manifest.model_id}"
    )


def _index(folder: Path, quiet: bool) -> tuple[dict[str, Any], str]:
    """Return what is true of an index, as facts and as text."""
    from aaam_pipeline.cli.render import reporter
    from aaam_pipeline.index import verify

    with reporter(quiet) as report:
        manifest = verify.verify(folder, report)
    facts = {"images": manifest.images, "labels": len(manifest.vocabulary), "model_id": manifest.model_id}
    return facts, f"{manifest.images} images, {len(manifest.vocabulary)} labels, annotated with {manifest.model_id}"
