"""Of how many images of an index each label holds: the model's labels, as far as nobody decided otherwise."""

from typing import Any, NamedTuple

import numpy as np

from aaam_pipeline.search.knowledge import Knowledge
from aaam_pipeline.search.overlay import BLOCK_IMAGES, NOWHERE, DecidedImages
from aaam_pipeline.search.reader import IndexReader

ASSIGNED = """
SELECT id, label FROM (SELECT id, unnest(labels) AS name FROM images WHERE id >= $1 AND id < $2)
JOIN (SELECT unnest($3) AS name, unnest($4) AS label) USING (name)
"""


class LabelCount(NamedTuple):
    """Images that a label holds for, decisions counted; `yes`, `no`: those that it was decided for."""

    images: int
    yes: int = 0
    no: int = 0


def decided_counts(known: Knowledge, index: IndexReader) -> dict[str, LabelCount]:
    """Return the number of images by label: of those of an index, then of the words that no model knows.

    Raises:
        IntegrityError: the index is damaged.
    """
    manifest = index.manifest
    own = len(manifest.vocabulary)
    ids = (known.vocabulary.find(label) for label in known.overlay.decisions.labels)
    images = {id: known.decided_images(id) for id in ids if id is not None}
    counts = [*manifest.label_counts, *(column.images for column in manifest.taught)]
    counts += [0] * (len(known.vocabulary) - len(counts))
    for id, each in images.items():
        # of those, the ones that the model assigned the label already are counted twice
        counts[id] += len(each.yes)
    for id, each in images.items():
        if own <= id < len(manifest.labels):
            counts[id] -= int(np.isin(each.both, index.taught.assigned_to(id)).sum())
    both = {id: each for id, each in images.items() if id < own and len(each.both)}
    for start in range(0, manifest.images, BLOCK_IMAGES) if both else ():
        names = [known.vocabulary.labels[id] for id in both]
        values: list[Any] = [start, start + BLOCK_IMAGES, names, list(both)]
        for id, assigned in _by_label(index.select_columns(ASSIGNED, values), both):
            counts[id] -= int(np.isin(both[id].both, assigned).sum())
    decided = [images.get(id, NOWHERE) for id in range(len(counts))]
    return {
        label: LabelCount(count, len(each.yes), len(each.no))
        for label, count, each in zip(known.vocabulary, counts, decided, strict=True)
    }


def _by_label(rows: dict[str, Any], images: dict[int, DecidedImages]) -> list[tuple[int, Any]]:
    """Return the images of each label."""
    order = np.argsort(rows["label"], kind="stable")
    label, image = np.asarray(rows["label"])[order], np.asarray(rows["id"])[order]
    ends = {id: np.searchsorted(label, [id, id + 1]) for id in images}
    return [(id, image[first:last]) for id, (first, last) in ends.items()]
