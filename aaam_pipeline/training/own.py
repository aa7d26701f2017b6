"""Train on a folder of one's own photographs, without DVC and params.yaml: `aaam-pipe train`.

The photographs are divided: what trains, what validates, and what tests. Ways to train are compared on validation, and
the best one is trained again on training and validation photographs; the network that is used is tested on photographs
that it has never seen. Unfinished work is kept in a folder beside the bundle, so that the same command resumes it.
"""

import csv
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from aaam_pipeline import metrics
from aaam_pipeline.core import artifacts
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.listing import SPLITS, Listing
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.datasets.prepared import read_split
from aaam_pipeline.formats.calibration import calibrate
from aaam_pipeline.formats.scores import ScoredSplit, read_scores
from aaam_pipeline.formats.words import FEWEST_TRAIN, FEWEST_VAL
from aaam_pipeline.models import bundle
from aaam_pipeline.models.info import GENERATED, familiarity_of, read_info
from aaam_pipeline.models.runtime_form import FormMaker, FormRequest, LabelledImages
from aaam_pipeline.training.own_data import OwnData, few_without, read_listing, some
from aaam_pipeline.training.own_settings import EPOCHS, MOST_K, Start, candidates
from aaam_pipeline.training.own_ways import OwnWork, choose, train_again, validate_all
from aaam_pipeline.training.run import PhasePaths

COMMAND = "aaam-pipe train"
SEEN_BEFORE = (
    "it starts from a model of this command: where that one learnt from the same photographs, the figures below are "
    "too good; with --from starter they are not"
)
NAME = re.compile(r"[\w-]+")


class OwnWord(msgspec.Struct, frozen=True):
    """A word of the report: photographs that have it to learn from, and to test with; AP on these, None: not known.

    `given`: how many of those that test get the word as a label, of those of which it is known; `right`: rightly.
    """

    word: str
    train_yes: int
    test_yes: int
    test_no: int
    ap: float | None
    given: int
    right: int

    @property
    def too_rare(self) -> bool:
        """Return whether there are too few photographs of it to learn it, or to judge it."""
        return self.train_yes < FEWEST_TRAIN or self.test_yes < FEWEST_VAL


class OwnReport(msgspec.Struct, frozen=True):
    """What was trained. `val`: validation mAP of each way to train; `chosen`: the one of the bundle.

    `map`: the mean of the words' AP on test photographs. `without`: how many of all photographs have none of the words.
    """

    bundle: str
    model_id: str
    photographs: dict[str, int]
    val: dict[str, float]
    chosen: str
    map: float
    words: list[OwnWord]
    without: int = 0

    @property
    def few_without(self) -> str | None:
        """Return what to say where nearly every photograph has one of the words, or None."""
        return few_without(self.without, sum(self.photographs.values()))


def train_own(
    data: OwnData, start: Start, out: Path, name: str, report: Reporter, *, epochs: int = EPOCHS, seed: int = 1,
    device: str = "auto",
) -> OwnReport:  # fmt: skip
    """Train a model of one's own photographs and write its bundle to `out`, which appears when it is whole.

    Raises:
        UsageError: `name` is no name, `out` is not what this wrote before, another process trains there, or there is no
            such device.
        DatasetError: labels or photographs are wrong, or too few; also as `run_phase`, with its other errors.
    """
    check_out(out, name)
    # what is wrong with them is said before anything is made
    bundle.choose_device(device)
    if start.origin and bundle.load(start.origin, torch.device("cpu")).info.metrics.get("made_by") == COMMAND:
        report.info(SEEN_BEFORE)
    listing = read_listing(data, name, seed, report)
    with exclusive(out):
        work = out.with_name(f".{out.name}.training")
        prepared = work / "prepared"
        _prepare(name, listing, prepared, start, report)
        if bad := _bad_images(prepared):
            report.info(f"left out, since they cannot be decoded: {some(bad)}")
        ways = candidates(start, _labels_an_image(listing), epochs, seed, device)
        own_work = OwnWork(name, start, work, device, report)
        validated = validate_all(own_work, ways)
        val = {way: float(read_info(trained[-1].bundle).metrics["val"]["map"]) for way, trained in validated.items()}
        chosen = choose(val, len(listing.splits["val"]))
        report.info(
            ", ".join(f"{way}: validation mAP {value:.3f}" for way, value in val.items()) + f"; {chosen} is used"
        )
        last = train_again(own_work, chosen, ways, validated)
        made = _report(last, out, prepared, val, chosen)
        _publish(last, prepared, out, made, report)
        shutil.rmtree(work, ignore_errors=True)
        return made


def check_out(out: Path, name: str) -> None:
    """Refuse a name that is none, and to replace what was not written by `train_own`.

    Raises:
        UsageError: see above.
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"--name {name}: a name may have letters, digits and _ - only")
    if name in GENERATED:
        raise UsageError(f"--name {name}: this name is for generated pictures; choose another")
    if not out.exists():
        return
    try:
        ours = read_info(out).metrics.get("made_by") == COMMAND
    except AaamError:
        ours = out.is_dir() and not any(out.iterdir())
    if not ours:
        raise UsageError(f"{out} is there and is no model that `{COMMAND}` made; choose another --out")


def _labels_an_image(listing: Listing) -> int:
    """Return k: how many labels a photograph has that has any, in the mean."""
    counts = [len(each.labels) for split in SPLITS for each in listing.splits[split] if each.labels]
    return min(max(round(float(np.mean(counts))), 1), MOST_K, len(listing.labels))


def _prepare(name: str, listing: Listing, prepared: Path, start: Start, report: Reporter) -> None:
    """Prepare the photographs, unless an earlier run did, with the same ones."""
    preprocess = start.preprocess
    files = [
        [each, each.path.stat().st_size, each.path.stat().st_mtime_ns] for s in SPLITS for each in listing.splits[s]
    ]
    content: list[Any] = [listing.labels, list(map(len, listing.splits.values())), files]
    code = artifacts.sources_fingerprint(("imaging", "datasets"))
    identity = artifacts.fingerprint([str(content), preprocess.size, preprocess.interpolation, code]).encode()
    mark = prepared.with_name("prepared.identity")
    if mark.is_file() and mark.read_bytes() == identity and (prepared / "manifest.json").is_file():
        return
    mark.unlink(missing_ok=True)
    prepare(name, listing, prepared, preprocess.size, report, preprocess.interpolation)
    artifacts.write_bytes(mark, identity)


def _bad_images(prepared: Path) -> list[str]:
    """Return the photographs that could not be decoded; the file that says so goes with the work folder."""
    with (prepared / "bad_images.csv").open(newline="", encoding="utf8") as stream:
        return [row["image_id"] for row in csv.DictReader(stream)]


def _report(last: PhasePaths, out: Path, prepared: Path, val: dict[str, float], chosen: str) -> OwnReport:
    """Return what is said of the words; photographs that could not be decoded do not count."""
    info, splits = read_info(last.bundle), {split: read_split(prepared, split) for split in SPLITS}
    learnt_L = sum((splits[split].targets_NL == 1).sum(0) for split in ("train", "val")).tolist()
    words = _words(read_scores(last.scores), info.thresholds, learnt_L)
    judged = [word.ap for word in words if word.ap is not None]
    return OwnReport(
        bundle=str(out),
        model_id=info.model_id,
        photographs={split: len(each.image_ids) for split, each in splits.items()},
        val={way: round(value, 4) for way, value in val.items()},
        chosen=chosen,
        map=round(float(np.mean(judged)), 4) if judged else 0.0,
        words=words,
        without=sum(int((~(each.targets_NL == 1).any(1)).sum()) for each in splits.values()),
    )


def _words(scored: ScoredSplit, thresholds: list[float], learnt_L: list[int]) -> list[OwnWord]:
    """Return what is said of each word, by the scores of test photographs; what is unknown does not count."""
    ap_L = metrics.average_precision(scored.scores_NL, scored.targets_NL).tolist()
    yes_L, no_L = ((scored.targets_NL == value).sum(0).tolist() for value in (1, 0))
    given_NL = calibrate(scored.scores_NL, scored.calibration) >= np.array(thresholds)
    given_L, right_L = ((given_NL & (scored.targets_NL >= least)).sum(0).tolist() for least in (0, 1))
    columns = zip(scored.labels, learnt_L, yes_L, no_L, ap_L, given_L, right_L, strict=True)
    return [
        OwnWord(word, learnt, yes, no, round(ap, 4) if yes else None, given, right)
        for word, learnt, yes, no, ap, given, right in columns
    ]


def _publish(last: PhasePaths, prepared: Path, out: Path, made: OwnReport, report: Reporter) -> None:
    """Write the bundle, with its runtime form and what is said of it, in place of the one that was there.

    int8 is measured on the test photographs.
    """
    test, train = read_split(prepared, "test"), read_split(prepared, "train")
    labelled = LabelledImages(test.pixels_NSS3, test.targets_NL, metrics.evaluate, "test")
    form = FormMaker(FormRequest("auto"), train.pixels_NSS3, labelled, report)
    network, info, folder = bundle.load(last.bundle, torch.device("cpu"))
    said = {"made_by": COMMAND, "test": {"map": made.map, "words": msgspec.to_builtins(made.words)}}
    info = msgspec.structs.replace(info, metrics=info.metrics | said)
    bundle.save(network, info, out, form, familiarity_of(folder, info))
