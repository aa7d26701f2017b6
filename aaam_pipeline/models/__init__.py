"""The AAAM network, its preprocessing, its bundles and their export to other runtimes."""

from typing import TYPE_CHECKING, Any

from aaam_pipeline.core.extras import need

if TYPE_CHECKING:
    from aaam_pipeline.models.info import ModelParams
    from aaam_pipeline.models.network import Network, create

__all__ = ["ModelParams", "Network", "create"]


def __getattr__(name: str) -> Any:
    """Load the network, and torch with it, when it is first asked for (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("train", "torch")
    from aaam_pipeline.models import network

    return getattr(network, name)
