"""Is a picture like those that a model was trained with? By the distance of its embedding to theirs.

Shapes: N pictures, K centroids, D embedding.

A model gives every picture some labels. Distances to the nearest training embeddings, all of unit length, tell pictures
of another kind (Sun et al. 2022, "Out-of-distribution detection with deep nearest neighbors"). Here K centroids of
these embeddings (k-means) stand for them: 64 float16 centroids find as many as all embeddings do, in 160 KB of 1,280
dimensions (`python -m benchmarks familiarity`, which also has Mahalanobis distances, residuals outside of the principal
subspace, and the largest logit). The threshold is the distance that a stated share of held-out photographs is beyond.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from aaam_pipeline.core.artifacts import write_bytes
from aaam_pipeline.core.errors import IntegrityError

FAMILIARITY = "familiarity.safetensors"
# of held-out photographs, the share that is marked unfamiliar
MARKED = 0.01
CENTROIDS, ITERATIONS, SEED = 64, 20, 0
# training pictures that centroids are made of: of more, every second or third ...
MOST = 20_000


class Familiarity(NamedTuple):
    """`centroids_KD`: float16, of unit embeddings; `threshold`: the squared distance from which on nothing is familiar.

    Squared distances of unit embeddings lie between 0 and 4.
    """

    centroids_KD: NDArray[np.float16]
    threshold: float

    def distances(self, embedding_ND: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return the squared distance (N,) of each unit embedding to the nearest centroid."""
        # float64: what a picture's neighbours in a batch change is far below what rows could show
        return _nearest(_units(embedding_ND, np.float64), self.centroids_KD.astype(np.float64))[1]

    def unfamiliar(self, embedding_ND: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Return which pictures (N,) are farther than the threshold; so is an embedding that is not finite."""
        familiar_N: NDArray[np.bool_] = self.distances(embedding_ND) <= self.threshold
        return ~familiar_N


def fit(train_ND: NDArray[np.floating], held_out_ND: NDArray[np.floating]) -> Familiarity:
    """Return centroids of training pictures, and the threshold beyond which `MARKED` of the held-out pictures are.

    Equal embeddings give equal bytes. Raises ValueError where there is no picture of either kind.
    """
    if not len(train_ND) or not len(held_out_ND):
        raise ValueError("familiarity needs training pictures and held-out ones")
    centred = Familiarity(centroids(train_ND), 0.0)
    return centred._replace(threshold=float(np.quantile(centred.distances(held_out_ND), 1 - MARKED)))


def centroids(train_ND: NDArray[np.floating], count: int = CENTROIDS) -> NDArray[np.float16]:
    """Return `count` centroids, or as many as there are pictures, of unit embeddings, by Lloyd's k-means."""
    unit_ND = _units(train_ND[:: max(1, -(-len(train_ND) // MOST))], np.float32)
    random = np.random.default_rng(SEED)
    found_KD = unit_ND[np.sort(random.choice(len(unit_ND), min(count, len(unit_ND)), replace=False))]
    for _ in range(ITERATIONS):
        cluster_N = _nearest(unit_ND, found_KD)[0]
        order_N = np.argsort(cluster_N, kind="stable")
        # a centroid that is nearest to none stays where it is
        filled, starts, counts = np.unique(cluster_N[order_N], return_index=True, return_counts=True)
        found_KD[filled] = np.add.reduceat(unit_ND[order_N], starts, axis=0) / counts[:, None]
    return found_KD.astype(np.float16)


def write_familiarity(path: Path, familiarity: Familiarity) -> None:
    """Write the file of a bundle, atomically; the same bytes for the same content."""
    values = {"centroids": familiarity.centroids_KD, "threshold": np.array([familiarity.threshold])}
    write_bytes(path, save(values))


def read_familiarity(path: Path) -> Familiarity:
    """Read what `write_familiarity` wrote.

    Raises:
        IntegrityError: it is no such file.
    """
    try:
        values = load(path.read_bytes())
        centroids_KD, (threshold,) = values["centroids"], values["threshold"]
        if centroids_KD.ndim != 2 or centroids_KD.dtype != np.float16:
            raise ValueError
    except (SafetensorError, KeyError, ValueError):
        raise IntegrityError(f"{path} is damaged: it holds no centroids and threshold") from None
    return Familiarity(centroids_KD, float(threshold))


def _units(embedding_ND: NDArray[np.floating], kind: type[np.floating]) -> NDArray[np.floating]:
    """Return embeddings of length 1; one of zeros stays as it is."""
    wide_ND = embedding_ND.astype(kind)
    length_N1 = np.linalg.norm(wide_ND, axis=1, keepdims=True)
    unit_ND: NDArray[np.floating] = wide_ND / np.where(length_N1 > 0, length_N1, 1)
    return unit_ND


def _nearest(
    unit_ND: NDArray[np.floating], centroids_KD: NDArray[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.floating]]:
    """Return which centroid is the nearest to each embedding, and its squared distance, both (N,)."""
    squares_NK = (centroids_KD**2).sum(1) - 2 * unit_ND @ centroids_KD.T
    nearest_N = squares_NK.argmin(1)
    return nearest_N, squares_NK[np.arange(len(unit_ND)), nearest_N] + (unit_ND**2).sum(1)
