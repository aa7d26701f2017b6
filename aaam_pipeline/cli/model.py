"""`aaam-pipe model`: what is done with a trained model besides using it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aaam_pipeline.cli import defaults, render
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.project import HERE

if TYPE_CHECKING:
    from aaam_pipeline.models.export.convert import LabelledImages
    from aaam_pipeline.models.export.manifest import ExportInfo
    from aaam_pipeline.models.info import BundleInfo

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def group() -> None:
    """Convert a trained model for other runtimes."""


@app.command("export")
def export(
    format: Annotated[
        Literal["openvino", "onnx"],
        typer.Option(help="openvino: used by annotate when it lies beside its bundle. onnx: for other programs."),
    ] = "openvino",
    precision: Annotated[
        Literal["fp32", "bf16", "int8"],
        typer.Option(help="fp32: the model's own scores. bf16, int8: faster, other scores."),
    ] = "fp32",
    model: defaults.Model = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to. Default: beside the bundle, BUNDLE-FORMAT-PRECISION.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Prepared data set to calibrate int8 and to measure on. Default: data/prepared/ and the model's own."
        ),
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Its split to measure on.")] = "val",
    max_map_loss: Annotated[
        float, typer.Option(min=0, help="Refuse an export that loses more mAP than this, in points of 100.")
    ] = 0.5,
    calibration_images: Annotated[int, typer.Option(min=1, help="Training images that int8 is calibrated on.")] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, nothing else on stdout.")] = False,
    quiet: defaults.Quiet = False,
) -> None:
    """Export a model, and measure what that costs: mAP and speed beside torch fp32, on labelled images.

    An export that loses too much is refused, and nothing is left of it.
    """
    bundle = defaults.model(model)
    from aaam_pipeline.models.export.manifest import export_dir
    from aaam_pipeline.models.info import read_info

    info = read_info(bundle)
    target = out or export_dir(bundle, format, precision)
    from aaam_pipeline.datasets.prepared import read_split
    from aaam_pipeline.models.export.convert import ExportRequest, export_bundle

    prepared = data or HERE.prepared(info.dataset)
    labelled, training_NSS3 = None, None
    if data or prepared.is_dir():
        labelled = _labelled_images(prepared, info, split)
        training_NSS3 = read_split(prepared, "train").pixels_NSS3
    request = ExportRequest(format, precision, max_map_loss, calibration_images)
    with render.reporter(quiet) as report:
        made = export_bundle(bundle, target, request, report, labelled, training_NSS3)
        _show(made, target, as_json)
        report.info(f"exported {made.info.model_id} to {render.near(target)}")


def _labelled_images(prepared: Path, info: "BundleInfo", split: str) -> "LabelledImages":
    """Return a split to measure on.

    Raises:
        UsageError: it is no prepared data set, or one of other labels than the model's.
    """
    from aaam_pipeline import metrics
    from aaam_pipeline.datasets.prepared import read_labels, read_split
    from aaam_pipeline.models.export.convert import LabelledImages

    if read_labels(prepared) != info.vocabulary:
        raise UsageError(f"{prepared} has other labels than the model; name the data set it was trained on with --data")
    found = read_split(prepared, split)
    return LabelledImages(found.pixels_NSS3, found.targets_NL, metrics.evaluate, split)


def _show(made: "ExportInfo", target: Path, as_json: bool) -> None:
    import msgspec

    measured = made.measured
    if as_json:
        facts = msgspec.to_builtins(measured) | {"map_loss": measured.map_loss} if measured else {}
        named = {"folder": str(target), "model_id": made.info.model_id, "precision": made.precision}
        print(msgspec.json.encode(named | facts).decode())
    elif measured:
        rows = [
            ["torch fp32", f"{100 * measured.map_torch:.2f}", f"{measured.rate_torch:.1f}"],
            [f"{made.runtime} {made.precision}", f"{100 * measured.map_export:.2f}", f"{measured.rate_export:.1f}"],
        ]
        render.table([f"{measured.split}, {measured.images} images", "mAP", "images/s"], rows)
        speed = measured.rate_export / measured.rate_torch
        print(f"mAP lost: {measured.map_loss:.2f} points; {speed:.1f} times as fast as torch fp32")
        print(f"scores differ by {measured.max_difference:.4f} at most, {measured.mean_difference:.5f} on average")
