"""A package with methods, installed as `pip` does it: a module and a `.dist-info` in a folder of `sys.path`."""

import sys
from pathlib import Path

import pytest

SOURCE = '''
import numpy as np


class Scaled:
    """Scores are the first features times a factor: the contract and nothing else."""

    grid = {"factor": [-1.0, 1.0]}

    def __init__(self, factor=1.0):
        self.factor = factor

    def fit(self, features, targets):
        self.labels = targets.shape[1]

    def predict_scores(self, features):
        return self.factor * features[:, : self.labels]


class Plain:
    def fit(self, features, targets):
        raise KeyError("a cupboard\\nof two lines")

    def predict_scores(self, features):
        return features


class Narrow(Scaled):
    def predict_scores(self, features):
        return features[:, :1]


class Infinite(Scaled):
    def predict_scores(self, features):
        return super().predict_scores(features) * np.inf


class NoScores:
    def fit(self, features, targets):
        pass


def function(factor=1.0):
    return Scaled(factor)
'''


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, entries: dict[str, str], name: str = "toy-methods") -> None:
    """Install a package with methods; `entries`: method -> a class of the module `toy_methods`, or module:class."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{method} = {kind if ':' in kind else f'toy_methods:{kind}'}" for method, kind in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[aaam_pipeline.methods]", *lines, ""]))
    (folder / "toy_methods.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "toy_methods", raising=False)
