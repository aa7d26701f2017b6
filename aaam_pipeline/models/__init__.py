"""Floor 2: the AAAM network, its preprocessing and its files."""

from aaam_pipeline.models.network import ModelParams, Network, create

__all__ = ["ModelParams", "Network", "create"]
