"""Stage `annotate`: annotate a data set's test images, as `aaam-pipe annotate` does people's own."""

import os
from pathlib import Path

import typer

from aaam_pipeline.annotate.inputs import local_item
from aaam_pipeline.annotate.options import Options
from aaam_pipeline.annotate.runner import annotate
from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.portable_paths import portable
from aaam_pipeline.datasets.prepared import read_split


def main(prepared: Path, model: Path, out: Path) -> None:
    """Annotate the test images of `prepared` with the bundle `model` into `out`."""
    with cli_errors(), reporter() as report:
        files = read_split(prepared, "test").paths
        root = Path(os.path.commonpath([file.parent for file in files]))
        # the same rows wherever the project lies, and whenever and however DVC put the files there
        items = [local_item(file, root)._replace(root=portable(root, out), mtime=None) for file in files]
        # torch, also where OpenVINO is installed: the same rows everywhere
        options = Options(backend="torch", on_existing="overwrite", file_times=False)
        annotate(items, model, out, options, report)


if __name__ == "__main__":
    typer.run(main)
