"""`aaam-pipe report`: the paper's tables with our numbers, as Markdown and as one HTML page."""

from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.project import HERE


def report(
    datasets: Annotated[
        list[str] | None,
        typer.Argument(metavar="DATASET", help="Data sets to report on. Default: all that have scores."),
    ] = None,
    out: Annotated[
        Path, typer.Option(help="Folder to write to: OUT/DATASET/report.md and OUT/report.html.")
    ] = HERE.reports_root,
    html: Annotated[Path | None, typer.Option(help="The HTML page. Default: OUT/report.html.")] = None,
    scores: Annotated[
        Path,
        typer.Option(
            help="Folder of scores: SCORES/DATASET/METHOD.parquet and SCORES/DATASET/compare/METHOD.parquet. Every "
            "method there is reported on, yours too."
        ),
    ] = HERE.scores_root,
    prepared: Annotated[
        Path, typer.Option(help="Folder of prepared data sets, for what the pictures are like: PREPARED/DATASET.")
    ] = HERE.prepared_root,
    ablations: Annotated[
        Path, typer.Option(help="Folder of the ablation's metrics: ABLATIONS/DATASET/ablation.csv.")
    ] = HERE.reports_root,
    params: Annotated[Path, typer.Option(help="The parameters of the training.")] = HERE.params,
    method: Annotated[
        str | None, typer.Option(help="The method whose labels and queries are shown. Default: hard, or the last one.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The method it is compared with. Default: bce, or the first one.")
    ] = None,
) -> None:
    """Report on scores: the paper's tables with ours beside them, labels, calibration, co-occurrence, queries.

    One page of HTML about all data sets, that needs no other file, and Markdown for each. The paths are printed.
    """
    from aaam_pipeline.cli.render import near
    from aaam_pipeline.evaluation import inputs
    from aaam_pipeline.evaluation import report as reports

    sources = inputs.Sources(scores, prepared, ablations, ParamsFile.read(params) if params.is_file() else None)
    names = list(dict.fromkeys(datasets or inputs.datasets(sources)))
    found = [inputs.read(name, sources, baseline, method) for name in names]
    for file in reports.write(found, out, html or out / "report.html"):
        print(near(file))
