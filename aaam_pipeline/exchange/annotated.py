"""What keywords and exports take of annotations: their rows, which of them are decided, which labels are asked for.

Shapes: N photographs of a part, I contents of which anything is decided.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aaam_pipeline.core.errors import UnknownLabelError, UsageError
from aaam_pipeline.core.progress import Advance, ignore
from aaam_pipeline.formats.decisions import digests, label_key
from aaam_pipeline.formats.older_parts import to_current
from aaam_pipeline.formats.part_files import read_part
from aaam_pipeline.formats.parts import AnnotationsManifest, is_current, part_path
from aaam_pipeline.formats.vocabulary import unknown


def read_annotated(
    folder: Path, manifest: AnnotationsManifest, columns: Sequence[str], advance: Advance = ignore
) -> Iterator[pa.Table]:
    """Yield columns (`status` among them) of the annotated rows of each part, in order.

    `advance` is told of all rows of a part, once its photographs are done.

    Raises:
        IntegrityError: a part is missing or damaged.
    """
    for number in range(manifest.parts):
        part = part_path(folder, number)
        table = read_part(part, columns) if is_current(part) else to_current(read_part(part)).select(columns)
        yield table.filter(pc.equal(table["status"], "ok"))
        advance(table.num_rows)


def are_decided(sha256_N: Sequence[str | None], decided_I: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """Return of which contents anything is decided, bool, N; `decided_I`: sorted (`Decisions.contents`)."""
    if not len(decided_I):
        return np.zeros(len(sha256_N), np.bool_)
    there_N = np.array([each is not None for each in sha256_N], np.bool_)
    digest_K = digests([each for each in sha256_N if each is not None])
    # not np.isin, which sorts all that is decided once more for each part
    place_K = np.searchsorted(decided_I, digest_K).clip(max=len(decided_I) - 1)
    there_N[there_N] = decided_I[place_K] == digest_K
    return there_N


def asked_labels(asked: Iterable[str], known: Mapping[str, str]) -> list[str]:
    """Return the keys of the labels that are asked for: each text is one of the `known`, or several between commas.

    Raises:
        UnknownLabelError: nobody knows one of them; says which are meant.
        UsageError: they name none: no filter at all is never meant by them.
    """
    keys: dict[str, None] = {}
    for text in asked:
        for part in [text] if label_key(text) in known else text.split(","):
            if not (key := label_key(part)):
                continue
            if key not in known:
                raise UnknownLabelError(unknown(part.strip(), known.values()))
            keys[key] = None
    if not keys:
        raise UsageError("--labels names no label")
    return list(keys)
