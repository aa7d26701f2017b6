"""Stage `prepare`: decode a data set once, at the size of its model's input."""

from pathlib import Path

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.errors import ParamsError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE
from aaam_pipeline.datasets import registry
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.models.preprocess import Preprocess, leaves_to_backbone


def main(dataset: str, raw: Path, out: Path, params: Path = HERE.params) -> None:
    """Prepare `dataset`, downloaded to `raw`, into `out`."""
    with cli_errors(), reporter() as report:
        settings = ParamsFile.read(params)
        if leaves_to_backbone(settings.block(dataset)):
            raise ParamsError(
                f"{settings.path}: {dataset}.preprocess leaves to the backbone how pictures are made: set size, mean, "
                f"std and interpolation, or read what the stage settings writes: --params data/settings/{dataset}.yaml"
            )
        made = settings.section(f"{dataset}.preprocess", Preprocess)
        listing = registry.of(dataset, settings).read(raw, registry.load_params(dataset, settings))
        prepare(dataset, listing, out, made.size, report, made.interpolation)


if __name__ == "__main__":
    typer.run(main)
