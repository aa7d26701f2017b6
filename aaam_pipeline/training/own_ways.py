"""The ways to train on one's own photographs, each once to be validated and then on validation photographs too.

`head` and `whole` are chains of phases: `own_settings.candidates`; `whole` goes on from `head`. `mean` has the mean of
their weights (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"). It is what is used, unless validation
says clearly otherwise.
"""

from pathlib import Path
from typing import NamedTuple

import msgspec
import torch

from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.models import bundle
from aaam_pipeline.training.chain import Link, train_chain
from aaam_pipeline.training.own_settings import Start
from aaam_pipeline.training.phases import PhaseSettings
from aaam_pipeline.training.refit import for_epochs
from aaam_pipeline.training.run import PhasePaths

HEAD, WHOLE, MEAN = "head", "whole", "mean"
CHANCE = 0.15
Phases = dict[str, PhaseSettings]
Trained = dict[str, list[PhasePaths]]


class OwnWork(NamedTuple):
    """Where work is kept, and what all ways have in common; the prepared photographs are in `folder`/prepared."""

    name: str
    start: Start
    folder: Path
    device: str
    report: Reporter


def validate_all(work: OwnWork, ways: dict[str, Phases]) -> Trained:
    """Train each way, and validate it; `mean` where there are both parts of it."""
    trained: Trained = {}
    for way, phases in ways.items():
        trained[way] = _train(work, way, phases, trained.get(HEAD))
    return trained | ({MEAN: _mean(work, ways, trained)} if set(trained) == {HEAD, WHOLE} else {})


def choose(val: dict[str, float], photographs: int) -> str:
    """Return the way that is used, by the mAP of each on so many validation photographs.

    `mean` is never far from the better of the other two. One of these is taken where its mAP is higher by more than
    chance gives: two or three points on 40 photographs, half a point on 1,000.
    """
    best = max(val, key=lambda way: val[way])
    return MEAN if MEAN in val and val[best] - val[MEAN] <= CHANCE / max(photographs, 1) ** 0.5 else best


def train_again(work: OwnWork, way: str, ways: dict[str, Phases], validated: Trained) -> PhasePaths:
    """Train a way on training and validation photographs; return the paths of its last phase."""
    trained: Trained = {}
    for each in (HEAD,) if way == HEAD else ways:
        trained[each] = _train(work, each, ways[each], trained.get(HEAD), validated[each])
    return (_mean(work, ways, trained, validated[MEAN]) if way == MEAN else trained[way])[-1]


def _train(
    work: OwnWork, way: str, phases: Phases, head: list[PhasePaths] | None, decided: list[PhasePaths] | None = None
) -> list[PhasePaths]:
    """Train a way, from `head` where that is trained."""
    links = []
    for number, (phase, settings) in enumerate(phases.items()):
        origin = None if number else head[-1].bundle if head else work.start.origin
        if decided:
            again = for_epochs(settings, settings.phase.epochs)
            title = f"{work.name}, {way}: {phase}, on validation photographs too"
            links.append(Link(phase, again, work.folder / f"{way}-all" / phase, title, decided[number], origin))
        else:
            links.append(Link(phase, settings, work.folder / way / phase, f"{work.name}, {way}: {phase}", None, origin))
    return train_chain(work.name, links, work.folder / "prepared", work.device, work.report)


def _mean(
    work: OwnWork, ways: dict[str, Phases], trained: Trained, decided: list[PhasePaths] | None = None
) -> list[PhasePaths]:
    """Return the paths of a phase of no epochs, whose network is the mean."""
    phase, settings = next(reversed(ways[WHOLE].items()))
    settings = msgspec.structs.replace(settings, phase=msgspec.structs.replace(settings.phase, epochs=0))
    folder = work.folder / (f"{MEAN}-all" if decided else MEAN)
    origin = write_mean(trained[HEAD][-1].bundle, trained[WHOLE][-1].bundle, folder / "weights")
    title = f"{work.name}, {MEAN}: weights between {HEAD} and {WHOLE}"
    if decided:
        settings = for_epochs(settings, 0)
    link = Link(phase, settings, folder / phase, title, decided[-1] if decided else None, origin)
    return train_chain(work.name, [link], work.folder / "prepared", work.device, work.report)


def write_mean(one: Path, other: Path, out: Path) -> Path:
    """Write the bundle whose weights are the mean of those of two."""
    first, second = (bundle.load(each, torch.device("cpu")) for each in (one, other))
    theirs = second.network.state_dict()
    mean = {
        name: (each + theirs[name]) / 2 if each.is_floating_point() else each
        for name, each in first.network.state_dict().items()
    }
    first.network.load_state_dict(mean)
    bundle.save(first.network, first.info, out)
    return out
