"""How good the starter is: where it was trained, and where it never was. For its page.

    python -m benchmarks.starter --write --sheet /tmp/sheet.png     # then look at the sheet, and count
    python -m benchmarks.starter --seen "10 9 8 ..."                # of the ten hits of each query, how many are right
    make docs

Photographs are read and scored as `annotate` does it, with the runtime form of the bundle. `everyday`: the photographs
that the data set calls `val`, which no network was trained on. Corel-5k: the 500 photographs of its dev split; its
words are other people's, and a word that is missing there may be on the photograph all the same.

Shapes: N photographs, L labels, W words.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from aaam_pipeline import metrics
from aaam_pipeline.annotate import backends
from aaam_pipeline.cli.errors import cli_errors
from aaam_pipeline.core.artifacts import read_json, write_json
from aaam_pipeline.core.errors import UsageError
from aaam_pipeline.core.project import HERE
from aaam_pipeline.evaluation.bootstrap import margin, resample, resampled_ap, sample_means
from aaam_pipeline.formats import ranking
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.models.inference import Backend
from aaam_pipeline.models.library import STARTER_FOLDER
from benchmarks.material import SHARED
from benchmarks.starter_material import (
    COCO_SOURCES,
    Scored,
    Scores,
    coco_classes,
    corel_dev,
    everyday_val,
    pixels_of,
    score,
)

PAGE = HERE.reports_root / "everyday" / "starter.json"
FEWEST, TOP = 10, 10
# photographs on which the forms are compared
COMPARED = 400
# two frequent words each, of many kinds
QUERIES = (
    "person dog",
    "person horse",
    "person bicycle",
    "person food",
    "tennis man",
    "football child",
    "lamp bed",
    "kitchen stove",
    "sink mirror",
    "bathroom towel",
    "tree mountain",
    "water sky",
    "sea sky",
    "sand beach",
    "snow person",
    "car road",
    "city skyscraper",
    "bus person",
    "vase flower",
    'chair "dining table"',
)


class MeanAp(msgspec.Struct, frozen=True):
    """A mean average precision in [0, 1] with its 95 % interval, by bootstrap over photographs."""

    name: str
    value: float
    low: float
    high: float
    words: int
    photographs: int


class WordAp(msgspec.Struct, frozen=True):
    """A word that the starter shares with Corel-5k."""

    word: str
    corel: list[str]
    yes: int
    ap: float


class Retrieval(msgspec.Struct, frozen=True):
    """Mean average precision of all queries of so many words."""

    words: int
    map: float
    queries: int


class TwoWords(msgspec.Struct, frozen=True):
    """A query; `shown`: photographs with both words by the labels.

    Of its first ten hits `labelled` are right and `wrong` wrong by the labels; `seen`: right by eye.
    """

    query: str
    shown: int
    labelled: int
    wrong: int
    seen: int | None = None


class StarterFigures(msgspec.Struct, frozen=True):
    """All that was measured of a starter."""

    model_id: str
    date: str
    precision: str
    files: dict[str, int]
    means: list[MeanAp]
    retrieval: list[Retrieval]
    ece: float
    label_ece: float
    torch_mean: float
    torch_most: float
    compared: int
    corel: list[WordAp]
    queries: list[TwoWords]
    seen_on: str = ""


def main(
    model: Annotated[Path, typer.Argument(metavar="BUNDLE", help="Default: the starter.")] = STARTER_FOLDER,
    data: Annotated[Path, typer.Option(help="Folder with everyday and corel5k.")] = SHARED / "data",
    sheet: Annotated[Path | None, typer.Option(help="PNG to write with the first hits of each query.")] = None,
    write: Annotated[bool, typer.Option("--write", help=f"Keep the figures in {PAGE}.")] = False,
    seen: Annotated[
        str,
        typer.Option(help="Only keep these counts: of each query's first ten hits on the sheet, how many are right."),
    ] = "",
) -> None:
    """Measure a bundle on the photographs of `everyday` and Corel-5k."""
    with cli_errors():
        if seen:
            keep_seen(seen)
            return
        backend = backends.create("openvino", model, "cpu")
        everyday = score(backend, *everyday_val(data / "everyday", backend.info.vocabulary))
        corel, shared = corel_dev(data / "corel5k", backend.info.vocabulary)
        figures = measure(model, backend, everyday, score(backend, *corel), shared)
        print(msgspec.json.format(msgspec.json.encode(figures)).decode())
        if sheet:
            draw(everyday, backend.info.vocabulary, sheet)
            print(f"wrote {sheet}")
        if write:
            PAGE.parent.mkdir(parents=True, exist_ok=True)
            write_json(PAGE, msgspec.to_builtins(figures))
            print(f"wrote {PAGE}; look at the sheet, and keep what you count with --seen")


def measure(
    model: Path, backend: Backend, everyday: Scored, corel: Scored, shared: dict[str, list[str]]
) -> StarterFigures:
    """Return all figures; `shared`: the columns of `corel`, with what Corel-5k calls them."""
    info = backend.info
    torch_mean, torch_most, compared = _forms(model, backend, everyday.paths)
    assert info.runtime is not None
    return StarterFigures(
        model_id=info.model_id,
        date=datetime.now(UTC).strftime("%Y-%m-%d"),
        precision=info.runtime.precision,
        files={path.name: path.stat().st_size for path in sorted(model.iterdir())},
        means=[*_everyday_means(everyday, info.vocabulary), *_means("Corel-5k, words it shares", corel)],
        retrieval=[
            Retrieval(size, *metrics.retrieval_map(everyday.scores_NL, everyday.targets_NL, size))
            for size in metrics.SIZES
        ],
        ece=metrics.calibration_error(everyday.scores_NL, everyday.targets_NL),
        label_ece=metrics.label_calibration_error(everyday.scores_NL, everyday.targets_NL),
        torch_mean=torch_mean,
        torch_most=torch_most,
        compared=compared,
        corel=[
            WordAp(word, names, int(yes), float(ap))
            for (word, names), yes, ap in zip(
                shared.items(),
                (corel.targets_NL > 0).sum(0),
                metrics.average_precision(corel.scores_NL, corel.targets_NL),
                strict=True,
            )
        ],
        queries=[_labelled(query, everyday, info.vocabulary) for query in QUERIES],
    )


def _forms(model: Path, backend: Backend, paths: list[Path]) -> tuple[float, float, int]:
    """Return how far scores of the runtime form are from torch's, in the mean and at most, on how many photographs."""
    torch, some = backends.create("torch", model, "cpu"), paths[:: max(1, len(paths) // COMPARED)]
    differences = []
    for pixels in pixels_of(some, backend.info):
        one, other = (calibrate(each.start(pixels)().scores_BL, backend.info.calibration) for each in (torch, backend))
        differences.append(np.abs(one - other))
    difference_NL = np.concatenate(differences)
    return float(difference_NL.mean()), float(difference_NL.max()), len(some)


def _everyday_means(everyday: Scored, labels: list[str]) -> list[MeanAp]:
    coco_N = np.array([path.parent.name in COCO_SOURCES for path in everyday.paths])
    coco = Scored([], everyday.scores_NL[coco_N], everyday.targets_NL[coco_N])
    classes_L = np.isin(labels, coco_classes())
    return [
        *_means("everyday", everyday),
        *_means("photographs of COCO alone", coco, {"classes of COCO": classes_L}),
    ]


def _means(name: str, scored: Scored, kinds: dict[str, NDArray[np.bool_]] | None = None) -> list[MeanAp]:
    """Return the mean over some kinds of words, over frequent ones, and over all that can be judged."""
    positives_L = (scored.targets_NL > 0).sum(0)
    usual = {f"words on at least {FEWEST} photographs": positives_L >= FEWEST, "all words": positives_L > 0}
    judged_L = metrics.judged(scored.targets_NL)
    named = {**(kinds or {}), **usual}
    chosen = {kind: words_L & judged_L for kind, words_L in named.items() if (words_L & judged_L).any()}
    count, ap_L = len(scored.targets_NL), metrics.average_precision(scored.scores_NL, scored.targets_NL)
    ap_RL = resampled_ap(scored.scores_NL, scored.targets_NL, resample(count))
    means = []
    for kind, words_L in chosen.items():
        value, around = float(ap_L[words_L].mean()), margin(sample_means(ap_RL, words_L))
        means.append(MeanAp(f"{name}: {kind}", value, value - around, value + around, int(words_L.sum()), count))
    return means


def _hits(query: str, scores_NL: Scores, labels: list[str]) -> tuple[list[int], NDArray[np.intp]]:
    """Return the labels of a query, and its first hits."""
    ids = sorted(labels.index(one or other) for one, other in re.findall(r'"([^"]+)"|(\S+)', query))
    return ids, ranking.rank(ranking.encode(scores_NL[:, ids]), TOP)


def _labelled(query: str, everyday: Scored, labels: list[str]) -> TwoWords:
    ids, hits = _hits(query, everyday.scores_NL, labels)
    targets_TQ = everyday.targets_NL[hits][:, ids]
    shown = int((everyday.targets_NL[:, ids] > 0).all(1).sum())
    return TwoWords(query, shown, int((targets_TQ > 0).all(1).sum()), int((targets_TQ == 0).any(1).sum()))


def draw(everyday: Scored, labels: list[str], path: Path, side: int = 160) -> None:
    """Write a contact sheet: a row a query, its first hits from left to right."""
    page = Image.new("RGB", (TOP * side, len(QUERIES) * (side + 16)), "white")
    pen = ImageDraw.Draw(page)
    for row, query in enumerate(QUERIES):
        top = row * (side + 16)
        pen.text((2, top + 2), f"{row + 1}. {query}", fill="black")
        for place, hit in enumerate(_hits(query, everyday.scores_NL, labels)[1]):
            with Image.open(everyday.paths[hit]) as photo:
                photo.thumbnail((side - 4, side - 4))
                page.paste(photo, (place * side, top + 16))
    page.save(path)


def keep_seen(text: str) -> None:
    """Keep how many of each query's hits are right by eye.

    Raises:
        UsageError: they are not one number from 0 to 10 for each query.
    """
    counts = [int(each) for each in re.findall(r"\d+", text)]
    if len(counts) != len(QUERIES) or max(counts) > TOP:
        raise UsageError(f"--seen: {len(QUERIES)} numbers from 0 to {TOP}, one for each row of the sheet")
    figures = read_json(PAGE, StarterFigures, "figures of a starter")
    queries = [msgspec.structs.replace(each, seen=count) for each, count in zip(figures.queries, counts, strict=True)]
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    write_json(PAGE, msgspec.to_builtins(msgspec.structs.replace(figures, queries=queries, seen_on=today)))
    print(f"{sum(counts)} of {TOP * len(counts)} hits are right, by eye: kept in {PAGE}")


if __name__ == "__main__":
    typer.run(main)
