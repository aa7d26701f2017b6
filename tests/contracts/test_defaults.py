"""A command without options does what the library does without arguments: one default of everything that both have."""

import inspect
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import typer

from aaam_pipeline import search
from aaam_pipeline.annotate import options, runner
from aaam_pipeline.annotate.backends import Embedder
from aaam_pipeline.annotate.verify import verify
from aaam_pipeline.cli import settings
from aaam_pipeline.cli.app import app
from aaam_pipeline.curation.relabel import relabel, undo
from aaam_pipeline.curation.review import review
from aaam_pipeline.evaluation.inputs import Sources, read
from aaam_pipeline.exchange.embedding import PacketWriter
from aaam_pipeline.exchange.exporters.options import ExportOptions
from aaam_pipeline.exchange.importing import Importer
from aaam_pipeline.exchange.keywords.places import Finder
from aaam_pipeline.figures import build as figures
from aaam_pipeline.index.build import build
from aaam_pipeline.models import adding, library, packed
from aaam_pipeline.models.bundle import choose_device
from aaam_pipeline.models.runtime_form import FormRequest, LabelledImages, export_bundle
from aaam_pipeline.search.duplicates import find_duplicates
from aaam_pipeline.training.own import train_own
from aaam_pipeline.training.own_data import OwnData

# what does the work of a command, and how many of its options have a default there
LIBRARY: dict[str, tuple[int, list[Callable[..., Any]]]] = {
    "annotate": (12, [options.Options, options.Selection, options.Assignment, runner.annotate]),
    "relabel": (2, [relabel, undo]),
    "thresholds": (0, []),
    "verify": (0, [verify]),
    "index": (0, [build]),
    "search": (1, [search.open, search.Index.query]),
    "similar": (1, [search.open, search.Index.similar, Embedder]),
    "dedup": (1, [find_duplicates]),
    "labels": (0, []),
    "review": (1, [review]),
    "health": (0, []),
    "diff": (0, []),
    "teach": (0, []),
    "decide": (0, []),
    "decisions list": (0, []),
    "decisions undo": (0, []),
    "decisions import": (0, []),
    "decisions export": (0, []),
    "decisions merge": (0, []),
    "decisions verify": (0, []),
    "import-keywords": (2, [Importer]),
    "export": (5, [ExportOptions]),
    "report": (3, [Sources, read]),
    "doctor": (0, [choose_device]),
    "config": (0, []),
    "train": (2, [OwnData, train_own]),
    "figures paths": (3, [figures.FigureRequest, figures.draw_paths]),
    "figures bars": (2, [figures.FigureRequest, figures.draw_bars]),
    "figures maps": (4, [figures.FigureRequest, figures.draw_maps]),
    "keywords write": (2, [Finder, PacketWriter]),
    "keywords undo": (0, [Finder]),
    "model list": (0, [library.known]),
    "model show": (0, [library.find]),
    "model add": (0, [adding.add]),
    "model remove": (0, [adding.remove]),
    "model pack": (0, [packed.pack]),
    "model export": (4, [FormRequest, LabelledImages, export_bundle]),
}
# the library takes what was read of the file
DIFFERENT = {("report", "params")}
# what a command calls otherwise than the library, for a person's sake
RENAMED = {"sidecar_style": "style", "count": "number", "format": "formats", "method": "ours"}
COMMANDS = {name: command for name, command in settings.commands(typer.main.get_group(app)) if name}


def plain(value: Any) -> Any:
    """Return a default without the types that differ: enumerations, lists and paths."""
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value.value if isinstance(value, Enum) else str(value) if isinstance(value, Path) else value


def test_every_command_is_compared() -> None:
    assert set(LIBRARY) == set(COMMANDS)


@pytest.mark.parametrize("name", LIBRARY)
def test_defaults_of_a_command_are_those_of_the_library(name: str) -> None:
    least, functions = LIBRARY[name]
    parameters = {key: each for function in functions for key, each in inspect.signature(function).parameters.items()}
    compared = []
    for option in COMMANDS[name].params:
        known = parameters.get(RENAMED.get(option.name, option.name))
        # None: left to the library, which decides by what it finds
        if known is None or known.default is inspect.Parameter.empty or option.default is None:
            continue
        if (name, option.name) in DIFFERENT:
            continue
        assert plain(option.default) == plain(known.default), option.name
        compared.append(option.name)
    assert len(compared) >= least, compared
