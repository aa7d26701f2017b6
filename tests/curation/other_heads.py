"""A bundle that computes the embedding of another one, and has another head."""

import json
import shutil
from pathlib import Path

import msgspec
import numpy as np
from conftest import rewrite_json

from aaam_pipeline.core.artifacts import file_sha256
from aaam_pipeline.formats.calibration import Calibration
from aaam_pipeline.formats.head import LinearHead, read_head, write_head
from aaam_pipeline.models.info import HEAD


def with_other_head(bundle: Path, folder: Path, labels: list[str], threshold: float = 0.4) -> Path:
    """Copy a bundle; the head gets a row for each of `labels`, a calibration and one threshold for all."""
    shutil.copytree(bundle, folder)
    (folder / "model.onnx").unlink(missing_ok=True)
    chance = np.random.default_rng(len(labels))
    old = read_head(folder / HEAD)
    weight_LD = chance.normal(0, old.weight_LD.std(), (len(labels), old.embedding_dim)).astype(np.float32)
    line = Calibration([1.5] * len(labels), [0.25] * len(labels))
    head = LinearHead(weight_LD, np.zeros(len(labels), np.float32), line, [threshold] * len(labels))
    write_head(folder / HEAD, head)
    info = json.loads((folder / "bundle.json").read_text())
    name, head_id = "toy-other", head.digest(labels)
    rewrite_json(
        folder / "bundle.json",
        vocabulary=labels,
        thresholds=head.thresholds,
        calibration=msgspec.to_builtins(line),
        head_id=head_id,
        phase="other",
        model_id=f"{name}-{info['embedding_id']}-{head_id}",
        runtime=None,
        words=[],
        files=info["files"] | {HEAD: file_sha256(folder / HEAD)},
    )
    return folder
