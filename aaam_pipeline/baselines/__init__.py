"""The methods that the paper compares AAAM with, as estimators over image features, found by name."""

from typing import TYPE_CHECKING

from aaam_pipeline.baselines.registry import NAMES, create, names

if TYPE_CHECKING:
    from aaam_pipeline.baselines.base import Method

__all__ = ["NAMES", "Method", "create", "names"]


def __getattr__(name: str) -> object:
    """Load the base class when it is first asked for (PEP 562)."""
    if name != "Method":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from aaam_pipeline.baselines.base import Method

    return Method
