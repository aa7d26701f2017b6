"""`aaam-pipe model`: which models there are, what they know, and how they come and go."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aaam_pipeline.cli import defaults, model_facts, render
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.project import HERE

if TYPE_CHECKING:
    from aaam_pipeline.models.info import BundleInfo
    from aaam_pipeline.models.runtime_form import LabelledImages

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, nothing else on stdout.")]


@app.callback()
def group() -> None:
    """List, show, add and remove models; pack one into a file."""


@app.command("list")
def list_models(as_json: Json = False) -> None:
    """List the models at hand: below ./models, your own, and the starter. A star marks the one used by default."""
    from aaam_pipeline.models import library

    chosen = library.default(Path.cwd())
    facts = [
        model_facts.of_model(model) | {"default": chosen is not None and model.folder == chosen.folder}
        for model in library.known(Path.cwd())
    ]
    if as_json:
        for each in facts:
            render.json_line(each)
    elif facts:
        names = ["", "name", "words", "MB", "from", "model"]
        render.rows(names, [model_facts.row(each) for each in facts])
    else:
        print("no models: add one with `aaam-pipe model add FILE`, or train one")


@app.command("show")
def show(
    name: Annotated[
        Path | None, typer.Argument(help="Name or folder of a model. Default: the one used by default.")
    ] = None,
    speed: Annotated[bool, typer.Option("--speed", help="Measure images/s on this machine, some seconds.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a model is: its words and how well it knows each, data and licences, size, speed."""
    from aaam_pipeline.models import library
    from aaam_pipeline.models.library import KnownModel

    folder = defaults.model(name)
    origin = next((each for each in library.known(Path.cwd()) if each.folder.absolute() == folder.absolute()), None)
    facts = model_facts.of_model(origin or KnownModel(str(folder), folder, "project"), words=True)
    if "error" in facts:
        # said as whatever uses the model says it
        from aaam_pipeline.models.info import read_info

        read_info(folder)
    if speed:
        facts["images_per_second"] = round(model_facts.measured_rate(folder), 1)
    if as_json:
        render.json_line(facts)
    else:
        model_facts.print_model(facts)


@app.command("add")
def add(
    source: Annotated[str, typer.Argument(metavar="FILE|URL", help="A model in one file, NAME.aaam.")],
    name: Annotated[str | None, typer.Option(help="What to call it. Default: the name of the file.")] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", help="Refuse a file that has another SHA-256 than this.")
    ] = None,
    as_json: Json = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Add a model to your own: it is checked, copied, and never executed."""
    from aaam_pipeline.models import adding

    with render.reporter(quiet) as report:
        added = adding.add(source, name, sha256, report)
    model_id = model_facts.annotating(added.info).model_id
    if as_json:
        render.json_line(
            {"name": added.model.name, "model_id": model_id, "sha256": added.sha256}
            | {"folder": str(added.model.folder), "words": len(added.info.vocabulary)}
        )
        return
    print(printable(f"SHA-256 {added.sha256}"))
    print(printable(f"added {added.model.name}: {model_id}, {len(added.info.vocabulary)} words"))
    if added.info.generated:
        print(f"it learnt from generated pictures: it is used where you name it, --model {added.model.name}")
    print(printable(render.next_annotate(added.model.name, added.model.name)), file=sys.stderr)


@app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="Name of one of your own models.")]) -> None:
    """Remove one of your own models. Annotations that were made with it stay."""
    from aaam_pipeline.models import adding

    print(printable(f"removed {adding.remove(name, Path.cwd())}"))


@app.command("pack")
def pack(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Name or folder of a model.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="File to write, NAME.aaam.")],
    as_json: Json = False,
) -> None:
    """Pack a model into one file, for `model add` on another machine."""
    from aaam_pipeline.core.artifacts import file_sha256
    from aaam_pipeline.models import packed

    info = model_facts.annotating(packed.pack(defaults.model(model), file))
    digest = file_sha256(file)
    if as_json:
        render.json_line({"file": str(file), "bytes": file.stat().st_size, "sha256": digest, "model_id": info.model_id})
    else:
        print(printable(f"packed {info.model_id} into {file}, {file.stat().st_size / 1e6:.1f} MB"))
        print(f"SHA-256 {digest}")


@app.command("export")
def export(
    out: Annotated[Path, typer.Option(help="Folder to write the bundle to.")],
    precision: Annotated[
        Literal["auto", "fp32", "int8"],
        typer.Option(help="Of the runtime form. auto: int8 where it loses at most --max-map-loss, else fp32."),
    ] = "auto",
    model: defaults.Model = None,
    stored: Annotated[
        Literal["float32", "float16"], typer.Option(help="Of the weights. float16 halves their file.")
    ] = "float32",
    card: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Model card in Markdown. Default: one is made."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Prepared data set to calibrate int8 and to measure on. Default: data/prepared/ and the model's own."
        ),
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Its split to measure on.")] = "val",
    max_map_loss: Annotated[
        float, typer.Option(min=0, help="The most mAP that int8 may lose to be taken, in points of 100.")
    ] = 0.5,
    calibration_images: Annotated[int, typer.Option(min=1, help="Training images that int8 is calibrated on.")] = 200,
    as_json: Json = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Write a bundle again with a runtime form, with which `annotate` needs no torch.

    For bundles that have none (of an earlier version, or trained with `runtime_form: none`), or to have another one.
    """
    from aaam_pipeline.core.artifacts import foreign
    from aaam_pipeline.models.info import BUNDLE, read_info

    text = _text(card) if card else None
    bundle = defaults.model(model)
    info = read_info(bundle)
    ours = ("*.safetensors", "model.onnx", "card.md", BUNDLE)
    if out.is_dir() and any(out.iterdir()) and (not (out / BUNDLE).is_file() or foreign(out, *ours)):
        raise UsageError(f"{out} exists and is not a model bundle; choose another --out")
    prepared = data or HERE.prepared(info.dataset)
    labelled, training_NSS3 = None, None
    if data or prepared.is_dir():
        from aaam_pipeline.datasets.prepared import read_split

        labelled = _labelled_images(prepared, info, split)
        training_NSS3 = read_split(prepared, "train").pixels_NSS3
    from aaam_pipeline.models.runtime_form import FormMaker, FormRequest, export_bundle

    with render.reporter(quiet) as report:
        request = FormRequest(precision, max_map_loss, calibration_images)
        maker = FormMaker(request, training_NSS3, labelled, report)
        made = export_bundle(bundle, out, maker, stored, text)
        assert made.runtime is not None
        if labelled is None:
            report.info("no prepared data set: int8 was not measured; see --data")
        report.info(f"exported {made.model_id} to {render.near(out)}, runtime form {made.runtime.precision}")
    if as_json:
        render.json_line({"folder": str(out)} | model_facts.of_bundle(out, made))


def _text(card: Path) -> str:
    """Return a model card's text.

    Raises:
        UsageError: it is not in UTF-8.
    """
    try:
        return card.read_text(encoding="utf8")
    except UnicodeDecodeError:
        raise UsageError(f"--card {card} is not text in UTF-8; save it as UTF-8") from None


def _labelled_images(prepared: Path, info: "BundleInfo", split: str) -> "LabelledImages":
    """Return a split to measure on.

    Raises:
        UsageError: it is no prepared data set, or one of other labels than the model's.
    """
    from aaam_pipeline import metrics
    from aaam_pipeline.datasets.prepared import read_labels, read_split
    from aaam_pipeline.models.runtime_form import LabelledImages

    if read_labels(prepared) != info.vocabulary:
        raise UsageError(f"{prepared} has other labels than the model; name the data set it was trained on with --data")
    found = read_split(prepared, split)
    return LabelledImages(found.pixels_NSS3, found.targets_NL, metrics.evaluate, split)
