"""What `aaam-pipe model list` and `show` say of a model, as a JSON object and for people."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from aaam_pipeline.cli import render
from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.logging import printable
from aaam_pipeline.formats.words import weaknesses

if TYPE_CHECKING:
    from aaam_pipeline.models.info import BundleInfo
    from aaam_pipeline.models.library import KnownModel

SECONDS = 3.0
# what `model show` says of validation, and how
VALIDATED = (("map", ".3f"), ("n_plus", ".0f"))


def of_model(model: "KnownModel", words: bool = False) -> dict[str, Any]:
    """Return what is known of a model; `error` says why it cannot be used."""
    from aaam_pipeline.models.info import read_info

    place = {"name": model.name, "from": model.origin, "folder": str(model.folder)}
    try:
        info = read_info(model.folder)
    except AaamError as error:
        return place | {"error": str(error)}
    except OSError as error:
        return place | {"error": f"{error.filename}: {error.strerror}"}
    return place | of_bundle(model.folder, info) | ({"words": _words(info)} if words else {})


def annotating(info: "BundleInfo") -> "BundleInfo":
    """Return what a bundle says of itself as its annotations are marked, in the precision of its runtime form."""
    return info.of_precision(info.runtime.precision) if info.runtime else info


def of_bundle(folder: Path, info: "BundleInfo") -> dict[str, Any]:
    """Return what a bundle says of itself, and the size of its files in bytes."""
    import msgspec

    from aaam_pipeline.models.card import LICENCES, section

    annotates = annotating(info)
    card = folder / "card.md"
    files = [path for path in folder.iterdir() if path.is_file()]
    return {
        "model_id": annotates.model_id,
        "embedding_id": annotates.embedding_id,
        "version": info.version,
        "dataset": info.dataset,
        "phase": info.phase,
        "generated": info.generated,
        "backbone": info.architecture.backbone,
        "size_px": info.preprocess.size,
        "labels": len(info.vocabulary),
        "bytes": sum(path.stat().st_size for path in files),
        "runtime": msgspec.to_builtins(info.runtime),
        "metrics": info.metrics,
        "licences": section(card.read_text(encoding="utf8", errors="replace"), LICENCES) if card.is_file() else "",
    }


def _words(info: "BundleInfo") -> list[dict[str, Any]]:
    import msgspec

    if not info.words:
        return [{"label": label} for label in info.vocabulary]
    weak = weaknesses(info.vocabulary, info.words)
    return [
        {"label": label, "known_badly": weak.get(label), **msgspec.to_builtins(word)}
        for label, word in zip(info.vocabulary, info.words, strict=True)
    ]


def row(facts: dict[str, Any]) -> list[str]:
    """Return a row of `model list`."""
    mark = "*" if facts["default"] else ""
    if "error" in facts:
        return [mark, facts["name"], "", "", facts["from"], f"cannot be used: {facts['error']}"]
    note = " (generated pictures)" if facts["generated"] else ""
    return [mark, facts["name"], str(facts["labels"]), _megabytes(facts), facts["from"], facts["model_id"] + note]


def _megabytes(facts: dict[str, Any]) -> str:
    return f"{facts['bytes'] / 1e6:.1f}"


def print_model(facts: dict[str, Any]) -> None:
    """Print what a model is, its words in the order of their AP."""
    form, loss = facts["runtime"], facts["runtime"] and facts["runtime"]["loss"]
    runs = f"{form['precision']} without torch" if form else "with torch"
    if loss:
        runs += f" (int8: mAP {100 * loss['map_int8']:.2f}, fp32: {100 * loss['map_fp32']:.2f} on {loss['split']})"
    val, test = (facts["metrics"].get(split, {}) for split in ("val", "test"))
    source = f"{facts['dataset']}, phase {facts['phase']}" + (": generated pictures" if facts["generated"] else "")
    lines = {
        "name": facts["name"],
        "model": facts["model_id"],
        "words": str(len(facts["words"])),
        "size": f"{_megabytes(facts)} MB",
        "validation": ", ".join(f"{name} {val[name]:{form}}" for name, form in VALIDATED if name in val)
        or "not measured",
        **({"test": f"map {test['map']:.3f} on photographs that it never saw"} if test else {}),
        "runs": runs,
        "speed": f"{facts['images_per_second']} images/s here" if "images_per_second" in facts else "see --speed",
        "trained on": source,
        "network": f"{facts['backbone']}, {facts['size_px']} px",
        "from": f"{facts['from']}, {facts['folder']}",
    }
    for name, text in lines.items():
        print(printable(f"{name:12s}{text}"))
    print()
    _print_words(facts["words"])
    licences = " ".join(facts["licences"].split()) or "it has no model card that says so"
    print()
    print(printable(f"licences    {licences}"))


def _print_words(words: list[dict[str, Any]]) -> None:
    if not any("ap" in word for word in words):
        print(printable(", ".join(word["label"] for word in words)))
        return
    known = sorted(words, key=lambda word: -1 if word["ap"] is None else word["ap"], reverse=True)
    cells = [
        [word["label"], "" if word["ap"] is None else f"{100 * word['ap']:.1f}"]
        + [str(word[name]) for name in ("train_yes", "train_no", "val_yes", "val_no")]
        for word in known
    ]
    render.rows(["word", "AP", "train: yes", "no", "val: yes", "no"], cells, headed=True)
    badly = [f"{word['label']} ({word['known_badly']})" for word in known if word["known_badly"]]
    if badly:
        print(printable(f"known badly: {', '.join(badly)}"))


def measured_rate(folder: Path) -> float:
    """Return the images/s of a model's network alone on this machine, with what `annotate` would run it."""
    import time

    import numpy as np

    from aaam_pipeline.annotate import backends

    backend = backends.create("auto", folder, "auto")
    size = backend.info.preprocess.size
    pixels_BSS3 = np.random.default_rng(0).integers(0, 256, (32, size, size, 3), dtype=np.uint8)
    backend.start(pixels_BSS3)()
    began, images = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < SECONDS:
        backend.start(pixels_BSS3)()
        images += len(pixels_BSS3)
    return images / spent
