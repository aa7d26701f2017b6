"""The ablation of section 5: our network with parts left out, trained over several seeds (`ablation.csv`)."""

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import NamedTuple

from aaam_pipeline.core.errors import IntegrityError
from aaam_pipeline.evaluation.comparison import VARIANTS
from aaam_pipeline.evaluation.paper import METRICS, paper


class Spread(NamedTuple):
    """Metrics over several seeds: their means, and the standard deviations of more than one."""

    mean: dict[str, float]
    deviation: dict[str, float] | None
    seeds: int


def read_ablation(path: Path) -> dict[str, Spread]:
    """Return row -> metrics on the test split of our network with parts left out; empty if the file is not there.

    Raises:
        IntegrityError: it is no table of an ablation.
    """
    if not path.is_file():
        return {}
    seeds: dict[str, list[dict[str, float]]] = {}
    try:
        with path.open(newline="", encoding="utf8") as stream:
            for row in csv.DictReader(stream):
                if row["split"] == "test":
                    seeds.setdefault(row["variant"], []).append({name: float(row[name]) for name in METRICS})
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} is no table of an ablation: {error}") from None
    ordered = [each for each in VARIANTS if each in seeds] + [each for each in seeds if each not in VARIANTS]
    return {paper().methods.get(variant, variant): _spread(seeds[variant]) for variant in ordered}


def _spread(seeds: Sequence[dict[str, float]]) -> Spread:
    means = {name: mean(seed[name] for seed in seeds) for name in METRICS}
    deviations = {name: stdev(seed[name] for seed in seeds) for name in METRICS} if len(seeds) > 1 else None
    return Spread(means, deviations, len(seeds))
