"""Makes a bundle of version 2, as aaam-pipe 0.1 wrote them."""

import json
from pathlib import Path

from conftest import rewrite_json
from safetensors.torch import load_file, save_file

from aaam_pipeline.core.artifacts import file_sha256

ADDED = ("embedding_id", "head_id", "runtime", "generated", "words", "files")


def make_version_2(bundle: Path, folder: Path) -> Path:
    """Write the network of a bundle of version 3 as one of version 2."""
    folder.mkdir(parents=True)
    head = {f"classifier.{name}": tensor for name, tensor in load_file(bundle / "head.safetensors").items()}
    save_file(load_file(bundle / "model.safetensors") | head, folder / "model.safetensors", metadata={"format": "pt"})
    content = json.loads((bundle / "bundle.json").read_text())
    (folder / "bundle.json").write_text(json.dumps({key: content[key] for key in content if key not in ADDED}))
    digest = file_sha256(folder / "model.safetensors")
    rewrite_json(folder / "bundle.json", version=2, model_id="toy-bce-0123456789ab", weights_sha256=digest)
    return folder
