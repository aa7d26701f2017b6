"""Options that several commands share, how the shell completes them, and what they mean where they are not given."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from aaam_pipeline.cli.render import near
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.project import BUNDLES, HERE, INDEXES, Project

# trained only to be compared with: nobody annotates with it unless it is named
COMPARED = ("warp",)

log = logging.getLogger(__name__)


def complete_labels(context: typer.Context, incomplete: str) -> list[str]:
    """Return the labels of the index that the command would use, as far as it can be read."""
    from aaam_pipeline.index import manifest

    folder = context.params.get("index") or HERE.newest_index()
    try:
        return manifest.read(folder).vocabulary if folder else []
    except (AaamError, OSError):
        return []


def _folders(patterns: Iterable[str]) -> list[str]:
    return sorted({str(match.parent) for pattern in patterns for match in Path().glob(pattern)})


Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:N. auto takes a GPU where there is one.", envvar="AAAM_DEVICE")
]
Model = Annotated[
    Path | None,
    typer.Option(
        help="Model bundle, a folder. Default: the newest below ./models but for warp.",
        envvar="AAAM_MODEL",
        autocompletion=lambda: _folders(BUNDLES),
    ),
]
Index = Annotated[
    Path | None,
    typer.Option(
        help="Index, a folder. Default: the newest made in this folder.",
        envvar="AAAM_INDEX",
        autocompletion=lambda: _folders(INDEXES),
    ),
]
WORDS = "AAAM_WORDS"
Words = Annotated[
    Path | None, typer.Option(help="Words file: synonyms and parents, instead of the shipped ones.", envvar=WORDS)
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no remarks on stderr.", envvar="AAAM_QUIET")
]


def newest_model() -> Path | None:
    """Return the newest bundle below ./models that is there to be used, or None."""
    return Project(Path.cwd()).newest_bundle(COMPARED)


def model(named: Path | None) -> Path:
    """Return the bundle named, or the newest that this project made.

    Raises:
        UsageError: none is named and there is none.
    """
    found = named or newest_model()
    if found is None:
        raise UsageError("no model below ./models: make one with `dvc repro`, or name one with --model")
    log.info("model %s: %s", near(found), "named" if named else "the newest below ./models")
    return near(found)


def index(named: Path | None, quiet: bool) -> Path:
    """Return the index named, or the newest that was made here; say on stderr which one was chosen.

    Raises:
        UsageError: none is named and there is none.
    """
    if named:
        log.info("index %s: named", named)
        return named
    found = Project(Path.cwd()).newest_index()
    if found is None:
        raise UsageError("no index here: make one with `aaam-pipe index annotations`, or name one with --index")
    log.info("index %s: the newest made in this folder", near(found))
    if not quiet:
        print(printable(f"index: {near(found)}"), file=sys.stderr)
    return near(found)
