"""Which pictures a model finds unlike all that it was trained with, by several ways to tell from their embeddings.

The stand-in for a trained model is EfficientNet-Lite2 with ImageNet's weights, at 224 px. Familiar: photographs of
`everyday`; the threshold is set on half of its validation split, so that 1 % of these is marked, and seen on the other
half. Corel-5k and COCO128 are photographs that no way has seen; the drawn pictures of `benchmarks.unlike` are none.

    python -m benchmarks.familiarity models/everyday/refit     # the same pictures, by what a bundle says itself

Shapes: N pictures, S side, D embedding, C classes, K centroids.
"""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.cluster import KMeans

from aaam_pipeline.formats.familiarity import CENTROIDS, FAMILIARITY, MARKED, Familiarity, centroids, read_familiarity
from aaam_pipeline.formats.parts import round_embedding
from aaam_pipeline.models.inference import load_openvino
from benchmarks.material import SHARED
from benchmarks.table import Report
from benchmarks.unlike import KINDS

SIZE, BATCH = 224, 32
MINUTES = (2.0, 6.0)
WEIGHTS = SHARED / "weights" / "tf_efficientnet_lite2_imagenet.safetensors"
EVERYDAY, COREL, COCO = (SHARED / "data" / name for name in ("everyday", "corel5k", "coco128"))

SPLITS = ("train", "val")

Matrix = NDArray[np.floating]
Pixels = NDArray[np.uint8]


class Seen(NamedTuple):
    """What a network gives for pictures: embeddings (N, D) and logits (N, C)."""

    embedding_ND: Matrix
    logits_NC: Matrix


Distance = Callable[[Seen], NDArray[np.floating]]
"""Returns a number for each picture, greater for what is less familiar."""


class Way(NamedTuple):
    """A way to tell unfamiliar pictures: the numbers that a bundle would have to hold, and the distance."""

    numbers: int
    distance: Distance


def pictures(full: bool) -> dict[str, Callable[[], Iterator[Image.Image]]]:
    """Return the pictures by name; those of COCO128, which `everyday` has too, are left out of it."""
    with (EVERYDAY / "splits.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if not row["image"].startswith("coco128")]
    named = {split: [EVERYDAY / "images" / row["image"] for row in rows if row["split"] == split] for split in SPLITS}
    counts = {"train": 4000, "val": len(named["val"])} if full else {"train": 1000, "val": 400}
    drawn, random = 150 if full else 30, np.random.default_rng(0)
    files = {}
    for split, count in counts.items():
        files[split] = [named[split][number] for number in np.sort(random.permutation(len(named[split]))[:count])]
    files["Corel-5k"] = sorted((COREL / "images").rglob("*.jp*g"))[:: 5 if full else 25]
    files["COCO128"] = sorted(COCO.rglob("*.jpg"))
    found: dict[str, Callable[[], Iterator[Image.Image]]] = {
        name: lambda paths=paths: map(Image.open, paths)  # type: ignore[misc]
        for name, paths in files.items()
    }
    for kind, (name, draw) in enumerate(KINDS.items()):
        found[name] = lambda kind=kind, draw=draw: (  # type: ignore[misc]
            draw(np.random.default_rng([kind, number]), 320) for number in range(drawn)
        )
    return found


def stand_in() -> Callable[[Pixels], Seen]:
    """Return EfficientNet-Lite2 in OpenVINO, as a function of pixels (N, S, S, 3)."""
    openvino = load_openvino()
    import timm
    import torch
    from openvino.tools.ovc import convert_model
    from safetensors.torch import load_file

    network: Any = timm.create_model("tf_efficientnet_lite2", pretrained=False).eval().requires_grad_(False)
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(WEIGHTS).items()})

    class Whole(torch.nn.Module):
        def forward(self, pixels_NSS3: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            map_NDHW = network.forward_features((pixels_NSS3.float() / 127.5 - 1).permute(0, 3, 1, 2))
            embedding_ND = network.forward_head(map_NDHW, pre_logits=True)
            return embedding_ND, network.classifier(embedding_ND)

    traced = torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8)
    model = convert_model(Whole().eval(), example_input=traced, input=[-1, SIZE, SIZE, 3])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda pixels_NSS3: Seen(*(compiled(pixels_NSS3)[output].copy() for output in (0, 1)))


def see(images: Iterable[Image.Image], size: int, network: Callable[[Pixels], Seen]) -> Seen:
    """Return what the network gives for pictures, squashed to squares; embeddings as rows hold them."""
    answers, batch = [], []
    for image in images:
        batch.append(np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)))
        if len(batch) == BATCH:
            answers.append(network(np.stack(batch)))
            batch = []
    if batch:
        answers.append(network(np.stack(batch)))
    embedding_ND, logits_NC = (np.concatenate(each) for each in zip(*answers, strict=True))
    return Seen(round_embedding(embedding_ND), logits_NC)


def units(embedding_ND: Matrix) -> Matrix:
    """Return embeddings of length 1."""
    lengths_N1: Matrix = np.linalg.norm(embedding_ND, axis=1, keepdims=True)
    return embedding_ND / lengths_N1


def neighbour(unit_ND: Matrix, k: int) -> Distance:
    """Return the distance to the k-th nearest training embedding (Sun et al. 2022)."""
    return lambda seen: np.partition(-units(seen.embedding_ND) @ unit_ND.T, k - 1, axis=1)[:, k - 1]


def nearest(centroids_KD: Matrix) -> Distance:
    """Return the squared distance to the nearest centroid."""
    return lambda seen: Familiarity(centroids_KD.astype(np.float16), 0.0).distances(seen.embedding_ND)


class Subspace:
    """The principal subspace of unit training embeddings, of some dimensions."""

    def __init__(self, unit_ND: Matrix, dimensions: int) -> None:
        self.mean_D = unit_ND.mean(0)
        variance_D, axes_DD = np.linalg.eigh(np.cov((unit_ND - self.mean_D).T))
        self.axes_DP, self.variance_P = axes_DD[:, ::-1][:, :dimensions], variance_D[::-1][:dimensions]
        self.rest = float(variance_D[::-1][dimensions:].mean())

    def parts(self, seen: Seen) -> tuple[Matrix, Matrix]:
        """Return the squared Mahalanobis distance inside, and the squared distance outside, both (N,)."""
        centred_ND = units(seen.embedding_ND) - self.mean_D
        inside_NP = centred_ND @ self.axes_DP
        outside_N: Matrix = (centred_ND**2).sum(1) - (inside_NP**2).sum(1)
        mahalanobis_N: Matrix = (inside_NP**2 / self.variance_P).sum(1)
        return mahalanobis_N, outside_N

    def mahalanobis(self, seen: Seen) -> Matrix:
        """Return the Mahalanobis distance with one covariance for all (Lee et al. 2018), a constant rest outside."""
        inside_N, outside_N = self.parts(seen)
        return inside_N + outside_N / self.rest

    def residual(self, seen: Seen) -> Matrix:
        """Return the distance outside (ViM, Wang et al. 2022)."""
        return self.parts(seen)[1]


def ways(train: Seen) -> dict[str, Way]:
    """Return all ways, those without numbers of their own first."""
    unit_ND = units(train.embedding_ND)
    dim = unit_ND.shape[1]
    space = Subspace(unit_ND, 128)
    inside_DP, mean_D = space.axes_DP, space.mean_D
    reduced_KP = KMeans(CENTROIDS, n_init=1, random_state=0).fit((unit_ND - mean_D) @ inside_DP).cluster_centers_

    def within(seen: Seen) -> Matrix:
        reduced_NP = (units(seen.embedding_ND) - mean_D) @ inside_DP
        squares_NK = (reduced_KP**2).sum(1) - 2 * reduced_NP @ reduced_KP.T
        distance_N: Matrix = squares_NK.min(1) + (reduced_NP**2).sum(1)
        return distance_N

    found = {
        "largest logit": Way(0, lambda seen: -seen.logits_NC.max(1)),
        "energy": Way(0, lambda seen: -np.logaddexp.reduce(seen.logits_NC, axis=1)),
        "length of the embedding": Way(0, lambda seen: -np.linalg.norm(seen.embedding_ND, axis=1)),
        "residual, 128 dimensions": Way(dim * 128, space.residual),
        "Mahalanobis, 128 dimensions and the rest": Way(dim * 129, space.mahalanobis),
        f"{CENTROIDS} centroids in 128 dimensions": Way((dim + CENTROIDS) * 128, within),
        "5th nearest of all": Way(len(unit_ND) * dim, neighbour(unit_ND, 5)),
        "50th nearest of all": Way(len(unit_ND) * dim, neighbour(unit_ND, 50)),
    }
    for count in (1, 16, CENTROIDS, 256):
        found[f"nearest of {count} centroids"] = Way(count * dim, nearest(centroids(train.embedding_ND, count)))
    return found


def run(report: Report, full: bool = False) -> None:
    """Measure all ways on the stand-in."""
    if not WEIGHTS.is_file() or not EVERYDAY.is_dir():
        report.note(f"familiarity needs {WEIGHTS} and {EVERYDAY}: not measured.")
        return
    network, seen = stand_in(), {}
    for name, images in pictures(full).items():
        seen[name] = see(images(), SIZE, network)
        report.info(f"{name}: {len(seen[name].embedding_ND)} pictures")
    train, chosen, held_out = seen.pop("train"), *_halves(seen.pop("val"))
    others = {"everyday, held out": held_out, **seen}
    names = ["", "KB", *others, "AUROC, mean", "least"]
    add = report.table(f"marked unfamiliar, %, where {100 * MARKED:.0f} % of familiar photographs are", names)
    for name, way in ways(train).items():
        familiar_N = way.distance(chosen)
        threshold = np.quantile(familiar_N, 1 - MARKED)
        distances = {kind: way.distance(each) for kind, each in others.items()}
        areas = [_area(familiar_N, distances[kind]) for kind in KINDS]
        shares = [f"{100 * (distance_N > threshold).mean():.1f}" for distance_N in distances.values()]
        add([name, f"{way.numbers * 2 / 1024:.0f}", *shares, f"{np.mean(areas):.3f}", f"{min(areas):.3f}"])


def _halves(seen: Seen) -> tuple[Seen, Seen]:
    return Seen(*(each[::2] for each in seen)), Seen(*(each[1::2] for each in seen))


def _area(familiar_N: Matrix, other_M: Matrix) -> float:
    """Return the area under the ROC curve: how often one picture of the others is farther than one familiar one."""
    return float((other_M[:, None] > familiar_N).mean())


def main(model: Path) -> None:
    """Print which pictures a bundle marks."""
    from aaam_pipeline.annotate import backends

    backend = backends.create("auto", model, "cpu")
    familiarity = read_familiarity(model / FAMILIARITY)

    def network(pixels_NSS3: Pixels) -> Seen:
        output = backend.start(pixels_NSS3)()
        return Seen(output.embedding_BD, output.scores_BL)

    add = Report().table(f"{backend.info.model_id}: marked unfamiliar", ["", "pictures", "%"])
    for name, images in pictures(full=True).items():
        if name != "train":
            marked_N = familiarity.unfamiliar(see(images(), backend.info.preprocess.size, network).embedding_ND)
            add([name, str(len(marked_N)), f"{100 * marked_N.mean():.1f}"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
