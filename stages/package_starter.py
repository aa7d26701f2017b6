"""Turn a trained bundle of `everyday` into the starter, which the wheel ships. For maintainers; no stage of DVC.

    python -m stages.package_starter models/everyday/refit --cost "9 hours on one core"

Any version of bundle is taken, with a runtime form or without. Weights are stored as float16; the runtime form is int8
where that loses little. What is said of words, and what is unfamiliar, is measured with the runtime form on photographs
that were not trained on: those that the data set itself calls `val`, which are prepared as `test`.

Shapes: N photographs, L labels, D embedding.
"""

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
import torch
import typer
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from aaam_pipeline import metrics
from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.cli.render import reporter
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.core.project import HERE
from aaam_pipeline.datasets.prepared import Split, read_labels, read_split
from aaam_pipeline.formats import familiarity
from aaam_pipeline.formats.parts import round_embedding
from aaam_pipeline.formats.words import WordSupport, weaknesses
from aaam_pipeline.models import Network, bundle
from aaam_pipeline.models.card import section, write_card
from aaam_pipeline.models.inference import Backend, ModelOutput
from aaam_pipeline.models.inference.openvino_backend import load_form
from aaam_pipeline.models.info import BundleInfo, RuntimeForm
from aaam_pipeline.models.library import STARTER_FOLDER
from aaam_pipeline.models.runtime_form import FORM, FormMaker, FormRequest, LabelledImages

CARD = Path(__file__).with_name("starter_card.jinja")
BATCH = 32
# photographs of training whose embeddings give the centroids, at most
CENTRED = 5000
# with fewer positives, the average precision of a word is chance
FEWEST, WORST = 10, 12


class Splits(NamedTuple):
    """What the starter learnt from, and what it is judged by."""

    trained: list[Split]
    held_out: Split


def main(
    source: Annotated[Path, typer.Argument(metavar="BUNDLE", help="The trained bundle.")],
    cost: Annotated[str, typer.Option(help="How long the training took, on what: a phrase for the card.")],
    data: Annotated[
        Path | None, typer.Option(help="The prepared data set it was trained on. Default: the one of its name.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where to write the starter.")] = STARTER_FOLDER,
) -> None:
    """Write the starter of a trained bundle, in place of the one that is there."""
    with cli_errors(), reporter() as report:
        made = package(source, data, out, cost, report)
        size = sum(path.stat().st_size for path in out.iterdir())
        assert made.runtime is not None
        report.info(f"{out}: {made.of_precision(made.runtime.precision).model_id}, {size / 1e6:.1f} MB")


def package(source: Path, data: Path | None, out: Path, cost: str, report: Reporter) -> BundleInfo:
    """Write the bundle `source` to `out` as the starter is shipped; return what it says.

    Raises:
        UsageError: it learnt from generated pictures, or nothing is said of its cost; also as `bundle.load`.
        IntegrityError: the prepared data set is of other labels or another picture size.
    """
    loaded = bundle.load(source, torch.device("cpu"))
    if loaded.info.generated:
        raise UsageError(f"{source} learnt from generated pictures: it knows nothing of photographs")
    if not cost.strip():
        raise UsageError("--cost: say how long the training took, and on what")
    splits = _splits(data or HERE.prepared(loaded.info.dataset), loaded.info)
    held_out = splits.held_out
    labelled = LabelledImages(held_out.pixels_NSS3, held_out.targets_NL, metrics.evaluate)
    maker = FormMaker(FormRequest(), splits.trained[0].pixels_NSS3, labelled, report)
    with TemporaryDirectory(prefix="starter") as work:
        form = Path(work) / FORM
        # once to know its runtime form, and again with what was measured with that
        first = bundle.save(loaded.network, loaded.info, Path(work) / "first", maker, stored="float16")
        shutil.copyfile(Path(work) / "first" / FORM, form)
        seen = load_form(Path(work) / "first", first)
        found = _seen(seen, held_out.pixels_NSS3, "see photographs that were not trained on", report)
        trained_ND = np.concatenate(
            [_seen(seen, some, "see photographs of training", report).embedding_BD for some in _sampled(splits.trained)]
        )

        def copied(network: Network, info: BundleInfo, folder: Path) -> RuntimeForm:
            shutil.copyfile(form, folder / FORM)
            assert first.runtime is not None
            return first.runtime

        info = _judged(first, splits, found.scores_BL)
        near = familiarity.fit(round_embedding(trained_ND), round_embedding(found.embedding_BD))
        card = starter_card(info, len(held_out.targets_NL), cost)
        return bundle.save(loaded.network, info, out, copied, near, stored="float16", card=card)


def _splits(data: Path, info: BundleInfo) -> Splits:
    if read_labels(data) != info.vocabulary:
        raise IntegrityError(f"{data} has other labels than the bundle: prepare what it was trained on")
    train, val, test = (read_split(data, name) for name in ("train", "val", "test"))
    if train.pixels_NSS3.shape[1] != info.preprocess.size:
        raise IntegrityError(f"{data} has pictures of another size than {info.preprocess.size} px")
    return Splits([train, val] if info.metrics.get("refit") else [train], test)


def _sampled(splits: list[Split]) -> list[NDArray[np.uint8]]:
    """Return photographs spread over all splits."""
    step = max(1, -(-sum(len(split.targets_NL) for split in splits) // CENTRED))
    return [split.pixels_NSS3[::step] for split in splits]


def _seen(backend: Backend, pixels_NSS3: NDArray[np.uint8], title: str, report: Reporter) -> ModelOutput:
    outputs = []
    with report.task(title, len(pixels_NSS3)) as advance:
        for first in range(0, len(pixels_NSS3), BATCH):
            outputs.append(backend.start(pixels_NSS3[first : first + BATCH])())
            advance(len(outputs[-1].scores_BL))
    return ModelOutput(*(np.concatenate(each) for each in zip(*outputs, strict=True)))


def _judged(info: BundleInfo, splits: Splits, scores_NL: NDArray[np.float32]) -> BundleInfo:
    """Return it with figures and facts of words, by the scores of what was not trained on."""
    targets_NL = splits.held_out.targets_NL
    trained_NL = np.concatenate([split.targets_NL for split in splits.trained])
    ap_L = metrics.average_precision(scores_NL, targets_NL)
    counts = [(each_NL == value).sum(0).tolist() for each_NL in (trained_NL, targets_NL) for value in (1, 0)]
    words = [
        WordSupport(yes, no, val_yes, val_no, round(ap, 4) if val_yes else None)
        for yes, no, val_yes, val_no, ap in zip(*counts, ap_L.tolist(), strict=True)
    ]
    figures = {**info.metrics, "val": metrics.evaluate(scores_NL, targets_NL, info.k)}
    return msgspec.structs.replace(info, words=words, metrics=figures)


def starter_card(info: BundleInfo, photographs: int, cost: str) -> str:
    """Return the card of the starter: what its bundle says, and what only people know of its photographs.

    `photographs`: how many it is judged by. Raises UsageError where these are too few to say anything.
    """
    pairs = list(zip(info.vocabulary, info.words, strict=True))
    frequent = [(label, word.ap) for label, word in pairs if word.val_yes >= FEWEST and word.ap is not None]
    known = [word.ap for _, word in pairs if word.ap is not None and word.val_no]
    if not frequent:
        raise UsageError(f"no word is on {FEWEST} photographs that were not trained on: nothing can be said of it")
    template = Environment(undefined=StrictUndefined, trim_blocks=True).from_string(CARD.read_text(encoding="utf8"))
    return template.render(
        info=info,
        photographs=photographs,
        cost=cost.strip().rstrip("."),
        mean_frequent=100 * float(np.mean([ap for _, ap in frequent])),
        frequent=len(frequent),
        mean=100 * float(np.mean(known)),
        judged=len(known),
        fewest=FEWEST,
        worst=sorted(frequent, key=lambda each: each[1])[:WORST],
        weak=weaknesses(info.vocabulary, info.words),
        words=section(write_card(info), "Words"),
    )


if __name__ == "__main__":
    typer.run(main)
