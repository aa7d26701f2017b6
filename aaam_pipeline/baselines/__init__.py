"""The methods that the paper compares AAAM with, as estimators over image features, found by name."""

from aaam_pipeline.baselines.base import Method
from aaam_pipeline.baselines.registry import NAMES, create, names

__all__ = ["NAMES", "Method", "create", "names"]
