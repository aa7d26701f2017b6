"""Stage `compare`: the paper's other methods on the features of a data set, and its table."""

from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.baselines.compare import MethodSelection, compare, comparison_paths, parse_settings
from aaam_pipeline.baselines.tuning import CRITERIA
from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE
from aaam_pipeline.evaluation import comparison
from aaam_pipeline.evaluation.document import markdown_table
from aaam_pipeline.evaluation.inputs import Sources


def main(
    dataset: str,
    method: Annotated[list[str] | None, typer.Option(help="only this one; can be repeated")] = None,
    setting: Annotated[list[str] | None, typer.Option("--set", help="METHOD.PARAMETER=VALUE")] = None,
    tune: Annotated[bool, typer.Option(help="choose hyper-parameters on the validation split")] = True,
    criterion: Annotated[str, typer.Option(help="by which to choose them")] = CRITERIA[0],
    params: Path = HERE.params,
) -> None:
    """Run methods on `dataset`, and print what came of it."""
    with cli_errors(), reporter() as report:
        selection = MethodSelection(method or [], criterion if tune else None, parse_settings(setting or []))
        result = compare(dataset, ParamsFile.read(params), comparison_paths(HERE, dataset), selection, report)
        shown = comparison.table(result, Sources())
        print(f"{shown.title}\n\n{markdown_table(shown)}\n\n{shown.note}")


if __name__ == "__main__":
    typer.run(main)
