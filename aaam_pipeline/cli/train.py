"""`aaam-pipe train`: a model of one's own labelled photographs."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from typer import Option

from aaam_pipeline.cli import defaults, render
from aaam_pipeline.core.artifacts import absolute
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.extras import need
from aaam_pipeline.core.project import HERE

if TYPE_CHECKING:
    from aaam_pipeline.training.own import OwnReport

STARTER, FOLDERS, KEYWORDS = "starter", "folders", "keywords"
TABLE = "labels.csv"
NAMED = 8


Labels = Annotated[
    str | None,
    Option(
        help="Table of labels, CSV or Parquet: image,label[,value], or image and a column a label; `folders`: their "
        "names; `keywords`: those in files and sidecars. Default: labels.csv in FOLDER."
    ),
]
From = Annotated[
    str,
    Option(
        "--from",
        help="What to start from: `starter`, another model (a folder, or a name of `model list`), a .safetensors file "
        "of backbone weights, `imagenet` (downloads them), or `none`.",
    ),
]
Unlisted = Annotated[
    Literal["no", "unknown"] | None,
    Option(help="What a label is that nothing is said of. Default: unknown; of names of folders no."),
]
Splits = Annotated[Path | None, Option(help="Table image,split (train, val, test). Default: by what is in the files.")]
Backbone = Annotated[
    str | None,
    Option(
        help="Backbone for weights, `imagenet` and `none`: timm/NAME or one of torchvision's. Default: "
        "timm/tf_efficientnet_lite2."
    ),
]
Size = Annotated[int | None, Option(min=16, max=1024, help="Side of pictures in pixels. Default: the backbone's own.")]


def train(
    folder: Annotated[Path, typer.Argument(help="Folder of photographs.")],
    labels: Labels = None,
    out: Annotated[Path, Option(help="Bundle to write, a folder.")] = HERE.own_model,
    start: From = STARTER,
    epochs: Annotated[int | None, Option(min=1, help="Epochs of all three phases together. Default: 10.")] = None,
    unlisted: Unlisted = None,
    splits: Splits = None,
    backbone: Backbone = None,
    size: Size = None,
    name: Annotated[str | None, Option(help="What the model is called. Default: the name of --out.")] = None,
    device: defaults.Device = "auto",
    seed: Annotated[int, Option(min=0, help="Decides all that is random.")] = 1,
    as_json: Annotated[bool, Option("--json", help="The report as one JSON object, nothing else on stdout.")] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Train a model of your own labelled photographs, which `annotate` takes next.

    Parts are held out by what is in the files: one chooses how to train, one tests the model that is written. The same
    command, given again, resumes a stopped run.
    """
    need("train")
    table = _labels(folder, labels)
    if splits and not splits.is_file():
        raise UsageError(f"--splits {splits}: no such file")
    from aaam_pipeline.training.own import check_out, train_own
    from aaam_pipeline.training.own_data import OwnData
    from aaam_pipeline.training.own_settings import EPOCHS, start_from

    out = absolute(out)
    name = out.name if name is None else name
    check_out(out, name)
    begin = start_from(_start(start), backbone, size)
    with render.reporter(quiet) as report:
        beside = folder / (labels or TABLE)
        if isinstance(table, Path) and beside.is_file() and not beside.samefile(table):
            report.info(f"labels: {table}, not {beside}")
        data = OwnData(folder, table, splits, unlisted)
        made = train_own(data, begin, out, name, report, epochs=epochs or EPOCHS, seed=seed, device=device)
        _show(made, as_json)
        for line in _remarks(made, out):
            report.info(line)


def _labels(folder: Path, named: str | None) -> "Path | Literal['folders', 'keywords']":
    """Return the table of labels: as it is named here, or in the folder of photographs."""
    if not folder.is_dir():
        raise UsageError(f"no folder {folder}" if not folder.exists() else f"{folder} is a file: name its folder")
    if named == FOLDERS:
        return "folders"
    if named == KEYWORDS:
        return "keywords"
    for path in (Path(named or TABLE).expanduser(), folder / (named or TABLE))[named is None :]:
        if path.is_file():
            return path
    where = f"--labels {named}: no such file, neither here nor in {folder}" if named else f"no {TABLE} in {folder}"
    raise UsageError(
        f"{where}; name the table with --labels, or --labels {FOLDERS} for the names of folders, "
        f"--labels {KEYWORDS} for keywords in the files"
    )


def _start(named: str) -> Path | str:
    """Return what to start from: the folder of a bundle, or what is none.

    Raises:
        UsageError: no starter comes with this installation, or there is no such model.
    """
    if named in ("none", "imagenet") or named.endswith(".safetensors"):
        return named
    from aaam_pipeline.models.library import has_starter

    if named == STARTER and not has_starter():
        raise UsageError(
            "no starter comes with this installation: name what to start from with --from: a model, imagenet (which "
            "downloads the weights of a backbone), a .safetensors file of them, or none"
        )
    return defaults.model(Path(named))


def _show(made: "OwnReport", as_json: bool) -> None:
    import msgspec

    if as_json:
        print(msgspec.json.encode(made).decode())
        return
    rows = [
        [
            word.word,
            str(word.train_yes),
            str(word.test_yes),
            str(word.test_no),
            "" if word.ap is None else f"{word.ap:.3f}",
            f"{word.right} of {word.given}",
            "too rare" if word.too_rare else "",
        ]
        for word in sorted(made.words, key=lambda word: -1 if word.ap is None else word.ap, reverse=True)
    ]
    render.rows(["word", "learnt from", "tested: yes", "no", "AP", "labels right", ""], rows)


def _remarks(made: "OwnReport", out: Path) -> Iterator[str]:
    """Yield what is said at the end."""
    yield (
        f"mean AP {made.map:.3f} on {made.photographs['test']} photographs that it has not seen; learnt from "
        f"{made.photographs['train'] + made.photographs['val']}"
    )
    if rare := [word.word for word in made.words if word.too_rare]:
        more = f" and {len(rare) - NAMED} more" if len(rare) > NAMED else ""
        yield f"too rare to be learnt or judged well: {', '.join(rare[:NAMED])}{more}; label more photographs of them"
    if made.few_without:
        yield made.few_without
    yield "it knows these words alone; --model starter annotates with those of the starter"
    yield f"model {made.model_id}: {render.near(out)}"
    yield render.next_annotate(out.name, render.near(out))
