"""Stage `features`: the embedding of every prepared picture, by an ImageNet backbone or by a trained bundle.

Shapes: B batch, N images of a split, D features. VGG16's embedding is what is called fc7, after its ReLU: D = 4,096.

It is built in `<out>.partial`, where `journal` says how far it is, so that a stopped run resumes.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from aaam_pipeline.baselines.feature_files import FORMAT, VERSION, FeatureFile, FeaturesManifest
from aaam_pipeline.core.artifacts import file_sha256, fingerprint, publish, work_folder, write_checksummed
from aaam_pipeline.core.errors import IntegrityError, UsageError
from aaam_pipeline.core.journal import Journal
from aaam_pipeline.core.locks import exclusive
from aaam_pipeline.core.machine import keep_freed_memory
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.listing import SPLITS
from aaam_pipeline.datasets.prepared import Split, content_fingerprint, read_manifest, read_split
from aaam_pipeline.models import ModelParams, Network, bundle
from aaam_pipeline.models.defaults import read_preprocess
from aaam_pipeline.models.info import AttentionParams
from aaam_pipeline.models.preprocess import Preprocess

IMAGENET = "imagenet"
BATCH = 64
# batches between two lines of the journal
STEP = 16


class FeatureExtractor(NamedTuple):
    """What computes features: a network in evaluation mode on its device, its preprocessing, and its name."""

    network: Network
    architecture: ModelParams
    preprocess: Preprocess
    name: str


class WrittenFeatures(NamedTuple):
    """Of `split` the features of the first `done` images are on disk."""

    split: str
    done: int


def compute(
    dataset: str, params: ParamsFile, prepared: Path, model: str, out: Path, device: str, report: Reporter
) -> None:
    """Write the features of all splits of a prepared data set to `out`; see `open_extractor` for `model`.

    A run that was stopped resumes if it was of the same pictures and weights.

    Raises:
        DeviceError, UsageError, IntegrityError, DatasetError, ParamsError: as their docstrings say.
    """
    chosen = bundle.choose_device(device)
    if chosen.type == "cpu":
        keep_freed_memory()
    extractor = open_extractor(dataset, params, model, chosen)
    size = read_manifest(prepared).size
    if extractor.preprocess.size != size:
        raise UsageError(f"{extractor.name} takes pictures of {extractor.preprocess.size} px, {prepared} has {size} px")
    manifest = FeaturesManifest(
        FORMAT, VERSION, dataset, extractor.name,
        msgspec.to_builtins(extractor.architecture), msgspec.to_builtins(extractor.preprocess),
        _weights_sha256(extractor.network), content_fingerprint(prepared), extractor.network.embedding_dim, {},
    )  # fmt: skip
    with exclusive(out):
        work, journal = _resume(out, fingerprint(msgspec.to_builtins(manifest)))
        for split in SPLITS:
            images = read_split(prepared, split)
            _write(extractor, images, split, work, journal, chosen, report)
            path = work / f"{split}.npy"
            manifest.files[split] = FeatureFile(len(images.pixels_NSS3), path.stat().st_size, file_sha256(path))
        journal.close()
        write_checksummed(work / "manifest.json", manifest)
        publish(work, out)
    total = sum(info.images for info in manifest.files.values())
    report.info(f"features: {total:,} images x {manifest.dimension:,} of {extractor.name} in {out}")


def open_extractor(dataset: str, params: ParamsFile, model: str, device: torch.device) -> FeatureExtractor:
    """Return a bundle's network, or for `imagenet` the backbone of `<dataset>.model` with its weights and no attention.

    Raises:
        UsageError: no such bundle; or `<dataset>.model.weights` is `none`: an untrained network's features say nothing.
        IntegrityError, ParamsError: as `bundle.load` and `ParamsFile.section`.
    """
    if model != IMAGENET:
        loaded = bundle.load(Path(model), device)
        return FeatureExtractor(loaded.network, loaded.info.architecture, loaded.info.preprocess, loaded.info.model_id)
    architecture = params.section(f"{dataset}.model", ModelParams)
    preprocess = read_preprocess(params, dataset)
    if architecture.weights == "none":
        raise UsageError(
            f"{dataset}.model has no ImageNet weights, and an untrained network's features say nothing: name a trained "
            f"bundle, as in --model models/{dataset}/bce"
        )
    architecture = msgspec.structs.replace(architecture, attention=AttentionParams(filters="none"))
    network = Network(architecture, 1, preprocess.size).to(device).to(memory_format=torch.channels_last).eval()
    return FeatureExtractor(network, architecture, preprocess, architecture.backbone)


def _resume(out: Path, identity: str) -> tuple[Path, Journal[WrittenFeatures]]:
    """Return the work folder and its journal, as the last run left them if it was of the same work."""
    work = work_folder(out, resume=True)
    journal = Journal.resume(work / "journal", identity, WrittenFeatures)
    if journal and all((work / f"{written.split}.npy").is_file() for written in journal.entries):
        return work, journal
    return work_folder(out), Journal.begin(work / "journal", identity)


def _write(
    extractor: FeatureExtractor,
    split: Split,
    name: str,
    work: Path,
    journal: Journal[WrittenFeatures],
    device: torch.device,
    report: Reporter,
) -> None:
    path, images = work / f"{name}.npy", len(split.pixels_NSS3)
    done = max((written.done for written in journal.entries if written.split == name), default=0)
    shape = (images, extractor.network.embedding_dim)
    features_ND = open_memmap(path, "r+" if done else "w+", None if done else np.float32, None if done else shape)
    with report.task(f"features of {name}", images, done) as advance:
        for first in range(done, images, BATCH * STEP):
            last = min(first + BATCH * STEP, images)
            for row in range(first, last, BATCH):
                pixels_BSS3 = np.array(split.pixels_NSS3[row : min(row + BATCH, last)])
                features_ND[row : row + len(pixels_BSS3)] = _embed(extractor, pixels_BSS3, device)
                advance(len(pixels_BSS3))
            features_ND.flush()
            journal.append(WrittenFeatures(name, last))


@torch.inference_mode()
def _embed(extractor: FeatureExtractor, pixels_BSS3: NDArray[np.uint8], device: torch.device) -> NDArray[Any]:
    images_B3SS = extractor.preprocess.normalise(torch.from_numpy(pixels_BSS3).to(device))
    embedding: NDArray[Any] = extractor.network.embed(images_B3SS).float().cpu().numpy()
    if not np.isfinite(embedding).all():
        raise IntegrityError(f"{extractor.name} gives features that are no numbers: its weights are damaged")
    return embedding


def _weights_sha256(network: Network) -> str:
    """Return the SHA-256 of what computes the embedding: the classifier, which does not, is left out."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if not name.startswith("classifier."):
            digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
