"""Data sets by name: packages of this room, and what other installed packages add; imported when they are asked for.

    [project.entry-points."aaam_pipeline.datasets"]
    birds = "my_package.birds"

An entry point names a module, or another object, with `Params`, `download` and `read`: see `Dataset`. A block of
params.yaml with `data: {type: folder, ...}` is a data set under its own name, whatever that is.
"""

import inspect
import re
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from aaam_pipeline.core.artifacts import publish, sources_fingerprint, work_folder
from aaam_pipeline.core.errors import DatasetError, ParamsError, UsageError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.plugins import call_plugin, load_plugin, plugin_names
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.listing import Listing

BUILT_IN = ("coco2014", "corel5k", "folder", "iaprtc12", "nuswide", "scenes")
GROUP = "aaam_pipeline.datasets"
PARTS = ("Params", "download", "read")
FOLDER = "folder"
"""The only `type`: photographs of one's own, in as many data sets as there are blocks with it."""


class Dataset(Protocol):
    """What a data set offers. `Params` is the struct of its `data` section in params.yaml."""

    Params: Any

    def download(self, params: Any, out: Path, report: Reporter) -> None:
        """Fill the empty folder `out` with the data set, or with a description of where it is."""

    def read(self, raw: Path, params: Any) -> Listing:
        """Read what `download` left."""


class PluginDataset:
    """A data set of another package: whatever goes wrong in it is one line with its name."""

    def __init__(self, name: str, plugin: Any) -> None:
        self._name, self.plugin = name, plugin
        self.Params = plugin.Params

    def download(self, params: Any, out: Path, report: Reporter) -> None:
        """Fill the empty folder `out`."""
        call_plugin(self._name, self.plugin.download, params, out, report)

    def read(self, raw: Path, params: Any) -> Listing:
        """Read what `download` left.

        Raises:
            DatasetError: it is read as something else than a listing.
        """
        listing = call_plugin(self._name, self.plugin.read, raw, params)
        if not isinstance(listing, Listing):
            raise DatasetError(f"{self._name}: read returns {type(listing).__name__}, not a Listing")
        return listing


def names() -> tuple[str, ...]:
    """Return the names of all data sets: those of this package, then those that other installed packages add."""
    return (*BUILT_IN, *(name for name in plugin_names(GROUP) if name not in BUILT_IN))


def get(name: str) -> Dataset:
    """Return the data set `name`; one of this package goes before one of another.

    Raises:
        ParamsError: there is none of this name.
        UsageError: the package that has it cannot be used.
    """
    if name == FOLDER:
        return _folder(name)
    if name in BUILT_IN:
        return cast(Dataset, import_module(f"aaam_pipeline.datasets.{name}"))
    # a dot would divide the name of its section in params.yaml
    plugin = load_plugin(GROUP, name, "data set", PARTS, "_-")
    if plugin is None:
        raise ParamsError(f"no data set {name!r}; known: {', '.join(names())}")
    return PluginDataset(name, plugin)


def of(name: str, params: ParamsFile) -> Dataset:
    """Return the data set of a block of params.yaml: by its `data.type`, else by its name.

    Raises:
        ParamsError: there is no such block, type or data set.
        UsageError: the package that has it cannot be used.
    """
    data = params.block(name).get("data")
    kind = data.get("type") if isinstance(data, Mapping) else None
    if kind is None:
        return get(name)
    if kind != FOLDER:
        raise ParamsError(f"{params.path}: {name}.data.type: no type {kind!r}; known: {FOLDER}")
    if not re.fullmatch(r"[\w-]+", name):
        raise ParamsError(f"{params.path}: the name of the data set {name!r} may have letters, digits and _ - only")
    return _folder(name)


def _folder(name: str) -> Dataset:
    dataset: Dataset = import_module(f"aaam_pipeline.datasets.{FOLDER}").FolderDataset(name)
    return dataset


def code_fingerprint(name: str, params: ParamsFile) -> str | None:
    """Return what changes with the Python sources of a data set, a module or package anywhere; None: it has none."""
    try:
        dataset = of(name, params)
    except UsageError:
        return None
    plugin = dataset.plugin if isinstance(dataset, PluginDataset) else dataset
    module = inspect.getmodule(plugin) or inspect.getmodule(type(plugin))
    path = Path(inspect.getfile(module)) if module else None
    return sources_fingerprint([path.parent if path.name == "__init__.py" else path])[:16] if path else None


def download(name: str, params: ParamsFile, out: Path, report: Reporter) -> None:
    """Obtain the data set `name`, or a description of where it is, into `out`, which appears only when it is whole.

    Where that fails, nothing is left: what was transferred lies elsewhere (`fetching.obtain`).
    """
    own = load_params(name, params)
    work = work_folder(out)
    try:
        of(name, params).download(own, work, report)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    publish(work, out)


def load_params(name: str, params: ParamsFile) -> Any:
    """Return the `data` section of the data set in params.yaml."""
    return params.section(f"{name}.data", of(name, params).Params)
