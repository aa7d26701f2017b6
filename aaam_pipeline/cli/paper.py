"""`aaam-pipe figures` and `report`: the paper's figures as PNG and SVG, and its tables as Markdown and HTML."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aaam_pipeline.cli import defaults
from aaam_pipeline.cli.render import print_paths
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.project import HERE

if TYPE_CHECKING:
    from aaam_pipeline.figures.build import FigureRequest

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Draw the paper's figures: prediction paths, score bars, class activation maps.",
)


class FigureFormat(StrEnum):
    """A kind of file."""

    PNG = "png"
    SVG = "svg"


Dataset = Annotated[
    str | None, typer.Option(help="Data set: the inputs, the pictures and the path of the figure follow from its name.")
]
Out = Annotated[
    Path | None,
    typer.Option(help="Files to write, without .png and .svg. Default: figures/DATASET/ and the figure's name."),
]
Images = Annotated[
    str | None,
    typer.Option(
        metavar="ID,...",
        help="Test images to show. Default: those on which a hard label rises farthest from the first method (of "
        "`paths`: the first phase) to the last. Hard: relevant, and ranked below as many labels as are relevant.",
    ),
]
Count = Annotated[int, typer.Option(min=1, max=12, help="How many images to choose where none are named.")]
Formats = Annotated[
    list[FigureFormat], typer.Option("--format", help="Kinds of file to write; give it again for several.")
]
ALL_FORMATS = list(FigureFormat)
Prepared = Annotated[
    Path | None, typer.Option(help="Prepared data set whose test pictures are shown. Default: data/prepared/DATASET.")
]


@app.command("paths")
def paths(
    methods: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=FILE[+FILE]...",
            help="Rows: recordings (plots/DATASET/paths/PHASE.parquet), phases after each other joined by +. Default: "
            "WARP, BCE and AAAM (bce+joint+hard) of the data set; one that is not there is left out.",
        ),
    ] = None,
    dataset: Dataset = None,
    images: Images = None,
    count: Count = 4,
    irrelevant: Annotated[int, typer.Option(min=0, help="Irrelevant labels to show, the best-scored ones.")] = 3,
    out: Out = None,
    format: Formats = ALL_FORMATS,
    prepared: Prepared = None,
    quiet: defaults.Quiet = False,
) -> None:
    """Draw prediction paths, as in the paper's figure 2: how scores of labels change in training, a row a method."""
    from aaam_pipeline.figures import build

    named = {name: [Path(file) for file in files.split("+")] for name, files in _pairs(methods).items()}
    request = _request("prediction_paths", dataset, images, count, out, format, prepared)
    if not named:
        named, missing = build.find_recordings(HERE.recordings(_named(dataset)))
        for name, file in () if quiet else missing.items():
            typer.echo(f"{name} is left out: no {file}", err=True)
    print_paths(build.draw_paths(named, request, irrelevant))


@app.command("bars")
def bars(
    methods: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=FILE...",
            help="Two scores files, the baseline first. Default: Baseline=scores/DATASET/bce.parquet and "
            "AAAM=scores/DATASET/hard.parquet.",
        ),
    ] = None,
    dataset: Dataset = None,
    images: Images = None,
    count: Count = 4,
    out: Out = None,
    format: Formats = ALL_FORMATS,
    prepared: Prepared = None,
) -> None:
    """Draw score bars, as in figure 4: two methods' scores of an image's labels, and of the best irrelevant ones."""
    from aaam_pipeline.figures import build

    files = {name: Path(file) for name, file in _pairs(methods).items()}
    request = _request("score_bars", dataset, images, count, out, format, prepared)
    print_paths(build.draw_bars(files or _compared(HERE.scores, dataset), request))


@app.command("maps")
def maps(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=BUNDLE...",
            help="Rows: models, the baseline first. Default: Baseline=models/DATASET/bce and AAAM=models/DATASET/hard.",
        ),
    ] = None,
    dataset: Dataset = None,
    images: Images = None,
    count: Count = 4,
    labels: Annotated[
        int, typer.Option(min=1, max=8, help="Ground-truth labels of an image at most: those that rise most.")
    ] = 3,
    out: Out = None,
    format: Formats = ALL_FORMATS,
    prepared: Prepared = None,
    device: defaults.Device = "auto",
) -> None:
    """Draw class activation maps, as in figure 5: which parts of a picture speak for each of its labels, a row a model.

    CAM where a network ends in average pooling and a linear layer, Grad-CAM for other heads. Where no images are named,
    they are chosen among the first 256 with two labels or more.
    """
    from aaam_pipeline.figures import build

    folders = {name: Path(folder) for name, folder in _pairs(models).items()}
    request = _request("activation_maps", dataset, images, count, out, format, prepared)
    print_paths(build.draw_maps(folders or _compared(HERE.bundle, dataset), request, labels, device))


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
    from aaam_pipeline.core.params import ParamsFile
    from aaam_pipeline.evaluation import inputs
    from aaam_pipeline.evaluation import report as reports

    if params != HERE.params and not params.is_file():
        raise UsageError(f"--params: no file {params}")
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out}: this is a file, not a folder")
    sources = inputs.Sources(scores, prepared, ablations, ParamsFile.read(params) if params.is_file() else None)
    names = list(dict.fromkeys(datasets or inputs.datasets(sources)))
    found = [inputs.read(name, sources, baseline, method) for name in names]
    print_paths(reports.write(found, out, html or out / "report.html"))


def _pairs(words: Sequence[str] | None) -> dict[str, str]:
    """Return NAME=FILE arguments as a mapping, in order.

    Raises:
        UsageError: an argument is none, or a name is there twice.
    """
    pairs: dict[str, str] = {}
    for word in words or []:
        name, sign, file = word.partition("=")
        if not (name and sign and file):
            raise UsageError(f"{word!r} is not NAME=FILE")
        if name in pairs:
            raise UsageError(f"the name {name!r} is there twice")
        pairs[name] = file
    return pairs


def _named(dataset: str | None) -> str:
    if dataset is None:
        raise UsageError("say what to draw: --dataset, or NAME=FILE")
    return dataset


def _compared(path: Callable[[str, str], Path], dataset: str | None) -> dict[str, Path]:
    """Return what Fig. 4 and 5 show where nothing is named: the paths of the baseline's phase and of AAAM's last."""
    return {"Baseline": path(_named(dataset), "bce"), "AAAM": path(_named(dataset), "hard")}


def _request(
    figure: str,
    dataset: str | None,
    images: str | None,
    count: int,
    out: Path | None,
    formats: Sequence[str],
    prepared: Path | None,
) -> "FigureRequest":
    from aaam_pipeline.figures.build import FigureRequest

    if dataset is None and prepared is None:
        raise UsageError("say where the pictures are: --dataset, or --prepared and a folder")
    if dataset is None and out is None:
        raise UsageError("say where to write: --out, or --dataset")
    return FigureRequest(
        prepared or HERE.prepared(_named(dataset)),
        out or HERE.figures(_named(dataset)) / figure,
        [image.strip() for image in images.split(",") if image.strip()] if images else [],
        count,
        list(dict.fromkeys(formats)),
    )
