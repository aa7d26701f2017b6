"""From which score of a query on an image is likely to fit it, by the thresholds of labels."""

from math import prod
from typing import TYPE_CHECKING

from aaam_pipeline.search.query import And, Label, Node, Not, Or

if TYPE_CHECKING:
    from aaam_pipeline.search.engine import Index

# of a word that no model knows
OTHERS = 0.5


def likely_score(index: "Index", node: Node) -> float:
    """Return the least score of an image that has just those labels which a query asks for, in [0, 1].

    A label's threshold is the probability from which on an image gets it. Of a choice (`dog|cat`) one label is enough,
    and the others add nothing. Filters do not rank.
    """
    read = index.manifest
    thresholds = dict(zip(read.vocabulary, read.thresholds, strict=True))
    thresholds |= {column.label: column.threshold for column in read.taught}

    def score(node: Node) -> float:
        match node:
            case Label(id):
                return thresholds.get(index.vocabulary.labels[id], OTHERS)
            case And(items):
                return prod(map(score, items))
            case Or(items):
                return min(map(score, items))
            case Not(item):
                return 1.0 - score(item)
            case _:
                return 1.0

    return score(node)
