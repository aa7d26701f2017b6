"""Made-up annotations of millions of images, written in chunks: what the benchmarks of index and search work on.

Shapes: N images, B rows of a part, L labels, V quantiles, D embedding, C clusters, F factors.

Scores: a label's logit is normal, of its own mean from -1.5 down to -8 and a deviation of 2.2. So the most frequent
label is likely for a quarter of the images, most labels for less than one in fifty, and codes at both ends occur.
Labels are independent of each other. Paths are in the order of their rows, as `annotate` writes them.

Embeddings have neighbours, as those of photographs have and uniformly random vectors have not. Each is a linear map of
F factors, the first of them the strongest, plus a mean and noise, cut off below 0 as by a ReLU; the factors are a
cluster's, of `CLUSTERS` of very different sizes, and vary within it. In brackets the 4,500 photographs of Corel-5k
after `mobilenet_v2`: the cosine of two images is 0.47 +- 0.08 (0.52 +- 0.09), of the nearest of 4,000 0.76 (0.78), of
the 10th 0.68 (0.73), of the 50th 0.64 (0.68); the intrinsic dimension (maximum likelihood, 20 neighbours) 22 (23).
"""

from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from aaam_pipeline.core.artifacts import fingerprint, write_checksummed
from aaam_pipeline.formats import ranking
from aaam_pipeline.formats.columns import fixed_size_list
from aaam_pipeline.formats.part_files import write_part
from aaam_pipeline.formats.parts import (
    VERSION,
    AnnotationsManifest,
    annotations_schema,
    manifest_path,
    part_path,
    round_scores,
)

LABELS = 80
NAMES = [f"l{label}" for label in range(LABELS)]
THRESHOLD = 0.5
PART = 65536
CLUSTERS, FACTORS, DECAY, WITHIN, MEAN, NOISE = 2000, 128, 0.4, 0.7, 0.5, 0.2
DRAWS = 65536


def write(folder: Path, images: int, dim: int) -> None:
    """Write a folder of annotations."""
    folder.mkdir(parents=True)
    parts = range(0, images, PART)
    for part, first in enumerate(parts):
        write_part(part_path(folder, part), _rows(first, min(PART, images - first), dim))
    manifest = AnnotationsManifest(
        schema_version=VERSION,
        model_id="bench",
        model_path="",
        vocabulary=NAMES,
        vocabulary_hash=fingerprint(NAMES),
        thresholds=[THRESHOLD] * LABELS,
        embedding_dim=dim,
        settings={},
        settings_hash="",
        roots=["/photos"],
        inputs=images,
        parts=len(parts),
        successes=images,
    )
    write_checksummed(manifest_path(folder), manifest)


def codes(label: int, images: int) -> NDArray[np.uint16]:
    """Return the codes (N,) that an index of such a folder holds for a label."""
    table_V = ranking.encode(_scores()[label])
    return np.concatenate(
        [table_V[_draws(first, min(PART, images - first))[label]] for first in range(0, images, PART)]
    )


def embeddings(first: int, count: int, dim: int) -> NDArray[np.float16]:
    """Return embeddings (B, D) of the rows from `first` on."""
    chance = np.random.default_rng([2, first])
    centre_CF, map_FD, share_C = _clusters(dim)
    factor_BF = np.sqrt(1 - WITHIN**2) * centre_CF[chance.choice(CLUSTERS, count, p=share_C)]
    factor_BF += WITHIN * chance.standard_normal(factor_BF.shape, dtype=np.float32)
    noise_BD = NOISE * chance.standard_normal((count, dim), dtype=np.float32)
    vector_BD: NDArray[np.float32] = np.maximum(factor_BF @ map_FD + MEAN + noise_BD, 0)
    return vector_BD.astype(np.float16)


def nearest(sought_QD: NDArray[np.float32], images: int, top: int) -> list[list[int]]:
    """Return the rows whose embeddings have the largest cosines with each of some vectors, all compared."""
    best_Q: list[list[tuple[float, int]]] = [[] for _ in sought_QD]
    for first in range(0, images, PART):
        part_BD = embeddings(first, min(PART, images - first), sought_QD.shape[1]).astype(np.float32)
        cosine_QB = sought_QD @ (part_BD / np.linalg.norm(part_BD, axis=1, keepdims=True)).T
        for query, cosine_B in enumerate(cosine_QB):
            found = np.argpartition(-cosine_B, top)[:top]
            new = [(float(cosine_B[row]), first + int(row)) for row in found]
            best_Q[query] = sorted(best_Q[query] + new, reverse=True)[:top]
    return [[row for _, row in best] for best in best_Q]


def row(path: str) -> int:
    """Return the row that a path stands in."""
    return int(Path(path).stem.rpartition("_")[2])


def _rows(first: int, count: int, dim: int) -> pa.Table:
    chance = np.random.default_rng([1, first])
    score_BL = np.stack([table_V[draw_B] for table_V, draw_B in zip(_scores(), _draws(first, count), strict=True)], 1)
    number_B = pc.utf8_lpad(pa.array(np.arange(first, first + count)).cast(pa.string()), 9, "0")
    folder_B = pc.utf8_slice_codeunits(number_B, 0, 6)
    known = {
        "path": pc.binary_join_element_wise(folder_B, pc.binary_join_element_wise("IMG_", number_B, ".jpg", ""), "/"),
        "root": pa.repeat("/photos", count),
        "sha256": _text(chance.bytes(32 * count).hex(), 64),
        "bytes": pa.array(chance.integers(50_000, 5_000_000, count)),
        "mtime": pa.array(chance.integers(1_300_000_000_000_000, 1_700_000_000_000_000, count)),
        "width": pa.array(chance.integers(640, 6000, count)),
        "height": pa.array(chance.integers(480, 6000, count)),
        "status": pa.repeat("ok", count),
        "labels": _assigned(score_BL),
        "label_scores": pa.nulls(count),
        "scores": fixed_size_list(score_BL.astype(np.float32)),
        "embedding": fixed_size_list(embeddings(first, count, dim).astype(np.float32)),
        "model_id": pa.repeat("bench", count),
    }
    fields = annotations_schema(LABELS, dim)
    return pa.table([known.get(each.name, pa.nulls(count)).cast(each.type) for each in fields], schema=fields)


def _draws(first: int, count: int) -> NDArray[np.uint16]:
    """Return which of its quantiles each label's score is, (L, B)."""
    return np.random.default_rng([0, first]).integers(0, DRAWS, (LABELS, count), dtype=np.uint16)


@cache
def _scores() -> NDArray[np.float32]:
    """Return the quantiles (L, V) of every label's scores."""
    normal_V = np.array([NormalDist(0, 2.2).inv_cdf((draw + 0.5) / DRAWS) for draw in range(DRAWS)])
    logit_LV: NDArray[np.float64] = np.linspace(-1.5, -8, LABELS)[:, None] + normal_V
    return round_scores(1 / (1 + np.exp(-logit_LV)))


@cache
def _clusters(dim: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Return the clusters' centres (C, F), the map (F, D), and the share of the images (C,) that each cluster has."""
    chance = np.random.default_rng(3)
    strength_F = np.arange(1, FACTORS + 1) ** -DECAY
    map_FD = chance.normal(size=(FACTORS, dim)) * (strength_F / np.linalg.norm(strength_F))[:, None]
    share_C = np.arange(1, CLUSTERS + 1) ** -0.7
    centre_CF = chance.normal(size=(CLUSTERS, FACTORS))
    return centre_CF.astype(np.float32), map_FD.astype(np.float32), share_C / share_C.sum()


def _text(joined: str, length: int) -> pa.Array:
    """Cut a text into strings of equal length."""
    ends = np.arange(0, len(joined) + 1, length, dtype=np.int32)
    return pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(joined.encode()))


def _assigned(score_BL: NDArray[np.float32]) -> pa.Array:
    """Return the labels of each row that reach the threshold."""
    likely_BL = score_BL >= THRESHOLD
    ends = np.concatenate([[0], np.cumsum(likely_BL.sum(axis=1))]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, pa.array(NAMES).take(pa.array(np.nonzero(likely_BL)[1])))
