"""Options that several commands share, how the shell completes them, and what they mean where they are not given."""

import logging
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aaam_pipeline.cli.render import near
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.project import BUNDLES, HERE, INDEXES, Project

if TYPE_CHECKING:
    from aaam_pipeline.models.library import KnownModel

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


def _model_names() -> list[str]:
    from aaam_pipeline.models import library

    return [model.name for model in library.known(Path.cwd())] + _folders(BUNDLES)


Device = Annotated[
    str, typer.Option(help="auto, cpu, cuda or cuda:N. auto takes a GPU where there is one.", envvar="AAAM_DEVICE")
]
Model = Annotated[
    Path | None,
    typer.Option(
        help="Model: a bundle's folder, or a name that `model list` shows. Default: the first one there.",
        envvar="AAAM_MODEL",
        autocompletion=lambda: _model_names(),
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


def default_model() -> "KnownModel | None":
    """Return the model that is used where none is named, or None."""
    from aaam_pipeline.models import library

    return library.default(Path.cwd())


def model(named: Path | None, quiet: bool = True) -> Path:
    """Return the bundle named, by its folder or its name, or the default one; say on stderr which one was chosen.

    Raises:
        UsageError: none is named and there is none, or none has this name.
    """
    from aaam_pipeline.models import library

    if named:
        found = near(library.find(named, Path.cwd()))
        log.info("model %s: named", found)
        return found
    chosen = default_model()
    if chosen is None:
        raise UsageError(no_model())
    log.info("model %s: %s", near(chosen.folder), chosen.described)
    if not quiet:
        print(printable(f"model: {chosen.name}, {chosen.described}"), file=sys.stderr)
    return near(chosen.folder)


def no_model() -> str:
    """Return what to say where no model is at hand."""
    from aaam_pipeline.models import library

    others = [model.name for model in library.known(Path.cwd())]
    if others:
        return f"no model to annotate with unless it is named: --model {others[0]} takes one of generated pictures"
    return (
        "no model: no starter comes with this installation, and there is none below ./models; make one with `dvc "
        "repro`, add one with `aaam-pipe model add`, or name one with --model"
    )


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
