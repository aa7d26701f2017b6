"""Stage `settings`: params.yaml -> what each data set's stages read of it, with base and preset, in a file of its own.

A stage depends on sections of that file. So an edit of params.yaml, or of a data set's package, reruns what it changes
something for: DVC itself cannot follow the name of a preset, or find the package of a data set that is a plug-in.
"""

from pathlib import Path
from typing import Any

import msgspec
import typer
import yaml

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.core.artifacts import publish, work_folder, write_bytes
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.datasets import registry
from aaam_pipeline.models.defaults import read_preprocess
from aaam_pipeline.models.preprocess import leaves_to_backbone


def main(params: Path, out: Path) -> None:
    """Write `out`/<data set>.yaml for every data set of `params`."""
    with cli_errors():
        settings = ParamsFile.read(params)
        work = work_folder(out)
        for name in dict.fromkeys((*settings.selected, *settings.datasets)):
            content = {
                "made_from": str(params),
                "code": registry.code_fingerprint(name, settings),
                name: _complete(settings, name),
            }
            write_bytes(work / f"{name}.yaml", yaml.safe_dump(content, sort_keys=False).encode())
        publish(work, out)


def _complete(settings: ParamsFile, name: str) -> dict[str, Any]:
    """Return a data set's block with what it may leave out: `refit`, and `preprocess` as its backbone has it."""
    block = {"refit": True, **settings.block(name)}
    if leaves_to_backbone(block):
        block["preprocess"] = msgspec.to_builtins(read_preprocess(settings, name))
    return block


if __name__ == "__main__":
    typer.run(main)
