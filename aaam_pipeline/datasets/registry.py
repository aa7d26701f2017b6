"""Data sets by name: packages with `Params`, `download` and `read`, imported only when they are asked for."""

from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from aaam_pipeline.core.errors import ParamsError
from aaam_pipeline.core.params import ParamsFile
from aaam_pipeline.core.progress import Reporter
from aaam_pipeline.datasets.listing import Listing

NAMES = ("coco2014", "corel5k", "iaprtc12", "nuswide", "scenes")


class Dataset(Protocol):
    """What a data set's module offers. `Params` is the struct of its `data` section in params.yaml."""

    Params: Any

    def download(self, params: Any, out: Path, report: Reporter) -> None:
        """Fill the empty folder `out` with the data set, or with a description of where it lies."""

    def read(self, raw: Path, params: Any) -> Listing:
        """Read what `download` left."""


def get(name: str) -> Dataset:
    """Return the data set `name`.

    Raises:
        ParamsError: there is none of this name.
    """
    if name not in NAMES:
        raise ParamsError(f"no data set {name!r}; known: {', '.join(NAMES)}")
    return cast(Dataset, import_module(f"aaam_pipeline.datasets.{name}"))


def load_params(name: str, params: ParamsFile) -> Any:
    """Return the `data` section of the data set in params.yaml."""
    return params.section(f"{name}.data", get(name).Params)
