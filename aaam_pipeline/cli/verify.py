"""`aaam-pipe verify`."""

from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.cli import defaults
from aaam_pipeline.cli.guard import guard


def verify(
    annotations: Annotated[Path, typer.Argument(help="Folder of annotations.")] = Path("annotations"),
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, nothing else on stdout.")] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Check annotations: one row for every input, hashes, schema, no duplicates; exit code 4 where they are damaged."""
    with guard():
        from aaam_pipeline.annotate import verify
        from aaam_pipeline.cli.render import reporter

        with reporter(quiet) as report:
            manifest = verify.verify(annotations, report)
        facts = {
            "inputs": manifest.inputs,
            "ok": manifest.successes,
            "failed": manifest.inputs - manifest.successes,
            "parts": manifest.parts,
            "model_id": manifest.model_id,
        }
        if as_json:
            import json

            print(json.dumps(facts))
        else:
            print(
                f"{annotations}: sound; {facts['inputs']} inputs = {facts['ok']} ok + {facts['failed']} failed, "
                f"in {facts['parts']} parts, annotated with {facts['model_id']}"
            )
