"""Stage `prepare`: decode a data set once, with the model's own preprocessing."""

from pathlib import Path

import typer

from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.params import ParamsFile, to_dict
from aaam_pipeline.core.project import HERE
from aaam_pipeline.datasets import registry
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.imaging.resizing import resize_square
from aaam_pipeline.models.preprocess import Preprocess


def main(dataset: str, raw: Path, out: Path, params: Path = HERE.params) -> None:
    """Prepare `dataset`, downloaded to `raw`, into `out`."""
    with cli_errors(), reporter() as report:
        settings = ParamsFile.read(params)
        how = settings.section(f"{dataset}.preprocess", Preprocess)
        listing = registry.get(dataset).read(raw, registry.load_params(dataset, settings))
        prepare(
            listing,
            out,
            lambda content: resize_square(content, how.size).pixels_SS3,
            how.size,
            report,
            key=to_dict(how),
        )


if __name__ == "__main__":
    typer.run(main)
