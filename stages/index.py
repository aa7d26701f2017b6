"""Stage `index`: index a data set's annotated test images, as `aaam-pipe index` does people's own."""

from pathlib import Path

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.index.build import build


def main(annotations: Path, out: Path) -> None:
    """Build the index of `annotations` into `out`."""
    with cli_errors(), reporter() as report:
        build(annotations, out, report)


if __name__ == "__main__":
    typer.run(main)
