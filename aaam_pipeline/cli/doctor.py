"""`aaam-pipe doctor`."""

import platform
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.cli import defaults, render, settings
from aaam_pipeline.core import config
from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.extras import EXTRAS, how_to_install, installed, need
from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.machine import available_cores
from aaam_pipeline.core.project import HERE
from aaam_pipeline.core.text import counted

PACKAGES = (
    "aaam-pipe",
    "torch",
    "torchvision",
    "timm",
    "duckdb",
    "faiss-cpu",
    "faiss-gpu",
    "openvino",
    "pyarrow",
    "pillow",
    "dvc",
)


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, nothing else on stdout.")] = False,
    device: defaults.Device = "auto",
    model: defaults.Model = None,
    index: defaults.Index = None,
    decisions: defaults.Decisions = None,
    taught: defaults.Taught = None,
) -> None:
    """Say which device, versions, settings files, model, index, ledger of decisions and taught words would be used."""
    from importlib.metadata import PackageNotFoundError, version

    facts = {"device": _device(device), "cores": str(available_cores()), "python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            facts[name] = version(name)
    facts["faiss"] = _faiss(facts)
    facts["extras"] = _extras()
    found = settings.current(context)
    facts["project-file"] = str(found.project.path) if found.project else f"none ({config.PROJECT})"
    facts["user-file"] = str(found.user.path) if found.user else f"none ({config.user_path()})"
    chosen = None if model else defaults.default_model()
    folder = defaults.model(model) if model else chosen and chosen.folder
    facts["model"] = _usable(folder, partial(_model, device), _model_maker())
    folder = index or defaults.newest_index()
    facts["index"] = _usable(folder, _index, "aaam-pipe index annotations")
    words = defaults.taught(taught, folder)
    facts["taught"] = _usable(words if words.exists() else None, _taught, "aaam-pipe teach")
    facts["decisions"] = _decisions(defaults.decisions(decisions, folder))
    if as_json:
        render.json_line(facts)
    else:
        for name, fact in facts.items():
            print(printable(f"{name:12s} {fact}"))


def _device(name: str) -> str:
    if name in ("auto", "cpu") and not installed("torch"):
        return "cpu (torch, which uses GPUs, is not installed)"
    need("train", "torch")
    import torch

    from aaam_pipeline.models.bundle import choose_device

    device = choose_device(name)
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else f"{device} (no GPU in use)"


def _faiss(facts: dict[str, str]) -> str:
    """Return which build of FAISS runs: two packages install the module of that name."""
    import faiss

    build = "for GPUs" if hasattr(faiss, "StandardGpuResources") else "for CPUs"
    found = f"{faiss.__version__}, built {build}"
    if {"faiss-cpu", "faiss-gpu"} <= set(facts):
        found += " (faiss-cpu and faiss-gpu are installed, one over the other: uninstall both, then install one)"
    return found


def _extras() -> str:
    """Return which extras are complete, and how the others are installed."""
    missing = [extra for extra, packages in EXTRAS.items() if not all(map(installed, packages))]
    there = ", ".join(extra for extra in EXTRAS if extra not in missing) or "none"
    return f"{there} (others: {how_to_install(','.join(missing))})" if missing else there


def _usable(folder: Path | None, describe: Callable[[Path], str], maker: str) -> str:
    """Return a folder with what is in it, or why it cannot be used."""
    if folder is None:
        return f"none (make one with `{maker}`)"
    try:
        return f"{folder} ({describe(folder)})"
    except AaamError as error:
        return f"unusable: {error}"


def _model_maker() -> str:
    """Return what brings a model: a pipeline where there is one."""
    return "dvc repro" if HERE.pipeline.is_file() else "aaam-pipe model add FILE"


def _model(device: str, folder: Path) -> str:
    from aaam_pipeline.annotate import backends

    # with the id that its annotations have: the bundle's own is that of fp32
    info = backends.model_info("auto", folder, device)
    return f"{info.model_id}: {info.architecture.backbone}, {counted(len(info.vocabulary), 'label')}"


def _taught(file: Path) -> str:
    from aaam_pipeline.formats.taught import read

    return f"{counted(len(read(file)), 'word')} of your own"


def _index(folder: Path) -> str:
    from aaam_pipeline.index import manifest

    read = manifest.read(folder)
    said = f"{counted(read.images, 'image')}, {read.model_id}"
    if read.judged:
        said += f"; {read.unfamiliar} of {counted(read.judged, 'image')} unlike all that it was trained with"
    if weak := read.weak:
        said += f"; {len(weak)} of {len(read.labels)} words known badly: aaam-pipe labels marks them"
    if newer := defaults.newer_annotations(folder, read):
        said += f"; {newer}"
    return said


def _decisions(path: Path) -> str:
    from aaam_pipeline.formats.decisions import read

    if not path.exists():
        return f"none ({path}; `aaam-pipe decide` makes it)"
    try:
        found = read(path)
    except OSError as error:
        return f"unusable: {path}: {error.strerror}"
    said = f"{counted(len(found), 'decision', ',')}, {counted(len(found.labels), 'word', ',')}"
    return f"{path} ({'; '.join([said, *found.remarks()])})"
