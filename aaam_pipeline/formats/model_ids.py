"""The id of a model, as annotations and indexes carry it: `<name>-<embedding>-<head>`.

`<embedding>` identifies what computes the embedding: 8 hexadecimal digits of weights and preprocessing, and `-int8` or
`-bf16` where it is computed in another precision than fp32. `<head>`, 8 digits, identifies the labels, the last layer,
the calibration and the thresholds. Embeddings of one `<embedding>` may be compared, whatever the heads are; scores only
where the heads are the same. Ids of bundles of version 2 have one part for both.
"""

import re

_ID = re.compile(r"(?P<name>.+)-(?P<embedding>[0-9a-f]{8}(?:-(?:int8|bf16))?)-(?P<head>[0-9a-f]{8})")


def model_id_of(name: str, embedding_id: str, head_id: str) -> str:
    """Return the id of a model.

    >>> model_id_of("everyday-hard", "0123abcd-int8", "89ef4567")
    'everyday-hard-0123abcd-int8-89ef4567'
    """
    return f"{name}-{embedding_id}-{head_id}"


def embedding_of(model_id: str) -> str:
    """Return the part of a model's id that two models with the same embedding have in common.

    >>> embedding_of("everyday-hard-0123abcd-int8-89ef4567")
    '0123abcd-int8'
    >>> embedding_of("scenes-hard-0123456789ab")
    'scenes-hard-0123456789ab'
    """
    found = _ID.fullmatch(model_id)
    return found["embedding"] if found else model_id
