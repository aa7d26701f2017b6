"""Train on a folder of one's own photographs, without DVC and params.yaml: `aaam-pipe train`.

The photographs are divided: what trains, what validates, and what tests. Ways to train are compared on validation, and
the best one is trained again on training and validation photographs; the network that is used is tested on photographs
that it has never seen. Unfinished work is kept in a folder beside the bundle, so that the same command resumes it.
"""

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import torch

from aaam_pipeline import metrics
from aaam_pipeline.core import artifacts
from aaam_pipeline.core.errors import AaamError, DatasetError, UsageError
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.folder import FolderParams, read_folder
from aaam_pipeline.datasets.folder.splits import drawn, group_keys
from aaam_pipeline.datasets.listing import SPLITS, Listing
from aaam_pipeline.datasets.prepare import prepare
from aaam_pipeline.datasets.prepared import read_split
from aaam_pipeline.formats.scores import read_scores
from aaam_pipeline.formats.words import FEWEST_TRAIN, FEWEST_VAL
from aaam_pipeline.models import bundle
from aaam_pipeline.models.info import familiarity_of, read_info
from aaam_pipeline.models.runtime_form import FormMaker, FormRequest, LabelledImages
from aaam_pipeline.training.chain import Link, train_chain
from aaam_pipeline.training.own_settings import EPOCHS, MOST_K, Start, candidates
from aaam_pipeline.training.phases import PhaseSettings
from aaam_pipeline.training.refit import for_epochs
from aaam_pipeline.training.run import PhasePaths

COMMAND = "aaam-pipe train"
NAME = re.compile(r"[\w-]+")
# a word needs one photograph to learn from and another one
FEWEST = 2
SHARES = {"test": 0.2, "val": 0.2}
# draws of the splits, of which the best is taken
DRAWS = 50
NAMED = 5


class OwnData(NamedTuple):
    """Photographs and labels: `labels` is a table, or `folders` (their names); the rest as in `FolderParams`."""

    folder: Path
    labels: Path | Literal["folders"]
    splits: Path | None = None
    unlisted: Literal["no", "unknown"] | None = None


class OwnWord(msgspec.Struct, frozen=True):
    """A word of the report: photographs that have it to learn from, and to test with; AP on these, None: not known."""

    word: str
    train_yes: int
    test_yes: int
    test_no: int
    ap: float | None

    @property
    def too_rare(self) -> bool:
        """Return whether there are too few photographs of it to learn it, or to judge it."""
        return self.train_yes < FEWEST_TRAIN or self.test_yes < FEWEST_VAL


class OwnReport(msgspec.Struct, frozen=True):
    """What was trained. `val`: validation mAP of each way to train; `chosen`: the one of the bundle.

    `map`: the mean of the words' AP on test photographs.
    """

    bundle: str
    model_id: str
    photographs: dict[str, int]
    val: dict[str, float]
    chosen: str
    map: float
    words: list[OwnWord]


def train_own(
    data: OwnData, start: Start, out: Path, name: str, report: Reporter, *, epochs: int = EPOCHS, seed: int = 1,
    device: str = "auto",
) -> OwnReport:  # fmt: skip
    """Train a model of one's own photographs and write its bundle to `out`, which appears when it is whole.

    Raises:
        UsageError: `name` is no name, `out` is not what this wrote before, or another process trains there.
        DatasetError: labels or photographs are wrong, or too few; also as `run_phase`, with its other errors.
    """
    check_out(out, name)
    listing = read_listing(data, name, seed, report)
    with exclusive(out):
        work = out.with_name(f".{out.name}.training")
        prepared = work / "prepared"
        _prepare(name, listing, prepared, start, report)
        ways = candidates(start, _labels_an_image(listing), epochs, seed, device)
        validated = {way: _validate(name, way, phases, start, work, device, report) for way, phases in ways.items()}
        val = {way: float(read_info(trained[-1].bundle).metrics["val"]["map"]) for way, trained in validated.items()}
        # of equal ones the simpler
        chosen = max(val, key=lambda way: val[way])
        report.info(
            ", ".join(f"{way}: validation mAP {value:.3f}" for way, value in val.items()) + f"; {chosen} is used"
        )
        links = _refit_links(name, chosen, ways[chosen], validated[chosen], start, work)
        last = train_chain(name, links, prepared, device, report)[-1]
        made = _report(last, out, listing, val, chosen)
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
    if not out.exists():
        return
    try:
        ours = read_info(out).metrics.get("made_by") == COMMAND
    except AaamError:
        ours = out.is_dir() and not any(out.iterdir())
    if not ours:
        raise UsageError(f"{out} is there and is no model that `{COMMAND}` made; choose another --out")


def read_listing(data: OwnData, name: str, seed: int, report: Reporter) -> Listing:
    """Return the photographs with labels and splits, so divided that every word has one to learn from.

    Raises:
        UsageError: there is no such folder.
        DatasetError: as `read_folder`; or a word has fewer than `FEWEST` photographs, or none to learn from.
    """
    if not data.folder.is_dir():
        raise UsageError(f"no folder {data.folder}")
    labels = data.labels if data.labels == "folders" else str(data.labels.absolute())
    params = FolderParams(
        root=str(data.folder),
        labels=labels,
        splits=str(data.splits.absolute()) if data.splits else None,
        unlisted=data.unlisted,
        val=SHARES["val"],
        test=SHARES["test"],
        seed=seed,
    )
    listing = read_folder(name, params, report)
    held = Counter(word for each in listing.splits.values() for example in each for word in example.labels)
    if few := [word for word in listing.labels if held[word] < FEWEST]:
        raise DatasetError(
            f"{labels}: fewer than {FEWEST} photographs have {_some(few)}: label more of them, or leave out the word"
        )
    if not data.splits:
        listing = _balanced(listing, seed, report)
    if missing := [word for word in listing.labels if not _shown(listing, "train")[word]]:
        source = data.splits or labels
        raise DatasetError(f"{source}: no photograph to learn {_some(missing)} from is left beside those that test")
    counts = ", ".join(f"{len(examples)} {split}" for split, examples in listing.splits.items())
    report.info(f"{name}: {len(listing.labels)} words; photographs: {counts}")
    return listing._replace(note="")


def _balanced(listing: Listing, seed: int, report: Reporter) -> Listing:
    """Return the best of many draws of the splits: where the rarest words are in each in fair shares.

    Copies of a photograph stay in one split.
    """
    examples = [example for split in SPLITS for example in listing.splits[split]]
    keys = group_keys([example.path for example in examples], report)
    column_of = {word: column for column, word in enumerate(listing.labels)}
    held_NL = np.zeros((len(examples), len(column_of)))
    for row, example in enumerate(examples):
        held_NL[row, [column_of[word] for word in example.labels]] = 1
    wanted = {"train": 1 - sum(SHARES.values()), **SHARES}
    best: tuple[float, list[str]] | None = None
    for draw in range(DRAWS):
        split_N = drawn(keys, SHARES, seed + draw)
        inside = {split: np.array([each == split for each in split_N]) for split in wanted}
        # what is missing of a fair share, as a part of it: of each word, and of all photographs
        lack = sum(
            float(np.clip(1 - held_NL[rows].sum(0) / (share * held_NL.sum(0)), 0, 1).sum())
            + max(0.0, 1 - rows.mean() / share)
            for split, share in wanted.items()
            for rows in [inside[split]]
        )
        lack += len(column_of) * float((held_NL[inside["train"]].sum(0) == 0).sum())
        if best is None or lack < best[0]:
            best = lack, split_N
    assert best
    splits = {s: [each for each, split in zip(examples, best[1], strict=True) if split == s] for s in SPLITS}
    return listing._replace(splits=splits)


def _shown(listing: Listing, *splits: str) -> Counter[str]:
    """Return how many photographs of some splits have each word."""
    return Counter(word for split in splits for example in listing.splits[split] for word in example.labels)


def _some(words: list[str]) -> str:
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return ", ".join(map(repr, words[:NAMED])) + more


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


def _validate(
    name: str, way: str, phases: dict[str, PhaseSettings], start: Start, work: Path, device: str, report: Reporter
) -> list[PhasePaths]:
    links = [
        Link(phase, settings, work / way / phase, f"{name}, {way}: {phase}", origin=_origin(start, phase))
        for phase, settings in phases.items()
    ]
    return train_chain(name, links, work / "prepared", device, report)


def _refit_links(
    name: str, way: str, phases: dict[str, PhaseSettings], validated: list[PhasePaths], start: Start, work: Path
) -> list[Link]:
    return [
        Link(
            phase,
            for_epochs(settings, settings.phase.epochs),
            work / f"{way}-all" / phase,
            f"{name}, {way}: {phase}, on validation photographs too",
            decided,
            _origin(start, phase),
        )
        for (phase, settings), decided in zip(phases.items(), validated, strict=True)
    ]


def _origin(start: Start, phase: str) -> Path | None:
    return start.origin if phase == "bce" else None


def _report(last: PhasePaths, out: Path, listing: Listing, val: dict[str, float], chosen: str) -> OwnReport:
    scored = read_scores(last.scores)
    ap_L = metrics.average_precision(scored.scores_NL, scored.targets_NL)
    yes_L, no_L = ((scored.targets_NL == value).sum(0).tolist() for value in (1, 0))
    learnt = _shown(listing, "train", "val")
    words = [
        OwnWord(word, learnt[word], yes, no, round(float(ap), 4) if yes else None)
        for word, yes, no, ap in zip(listing.labels, yes_L, no_L, ap_L, strict=True)
    ]
    judged = [word.ap for word in words if word.ap is not None]
    return OwnReport(
        bundle=str(out),
        model_id=read_info(last.bundle).model_id,
        photographs={split: len(listing.splits[split]) for split in SPLITS},
        val={way: round(value, 4) for way, value in val.items()},
        chosen=chosen,
        map=round(float(np.mean(judged)), 4) if judged else 0.0,
        words=words,
    )


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
