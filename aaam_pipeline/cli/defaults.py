"""Options that several commands share, how the shell completes them, and what they mean where they are not given."""

import logging
import sys
from collections.abc import Iterable
from contextlib import suppress
from glob import escape
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from aaam_pipeline.cli import output
from aaam_pipeline.cli.render import near
from aaam_pipeline.core.artifacts import newest
from aaam_pipeline.core.errors import AaamError, UsageError
from aaam_pipeline.core.logging import printable
from aaam_pipeline.core.portable_paths import located
from aaam_pipeline.core.project import BUNDLES, DECISIONS, HERE, INDEXES

if TYPE_CHECKING:
    from aaam_pipeline.index.manifest import IndexManifest
    from aaam_pipeline.models.library import KnownModel

log = logging.getLogger(__name__)
COMPLETED = 30_000_000
"""Bytes of a ledger whose words the shell completes: a larger one takes longer to read than a person waits."""


def complete_labels(context: typer.Context, incomplete: str) -> list[str]:
    """Return the labels of the index that the command would use, and words that were decided, as far as can be read."""
    from aaam_pipeline.formats.vocabulary import Vocabulary
    from aaam_pipeline.index import manifest

    folder = context.params.get("index") or newest_index()
    found: list[str] = []
    with suppress(AaamError, OSError):
        found += manifest.read(folder).labels if folder else []
        path = decisions(context.params.get("decisions"), folder)
        if found and not context.params.get("no_decisions") and path.is_file() and path.stat().st_size < COMPLETED:
            from aaam_pipeline.formats import decisions as decided

            known = Vocabulary(found)
            found += [label for label in decided.read(path).labels if label not in known]
    return found


def _folders(patterns: Iterable[str]) -> list[str]:
    return sorted({str(match.parent) for pattern in patterns for match in Path().glob(pattern)})


def _indexes() -> tuple[str, ...]:
    """Return patterns of the manifests of indexes: in the places of a project, and directly below this folder."""
    from aaam_pipeline.index.manifest import is_index

    found = [match.parent for match in Path().glob("*/manifest.json") if is_index(match.parent)]
    return (*INDEXES, *(f"{escape(folder.name)}/manifest.json" for folder in found))


def newest_index() -> Path | None:
    """Return the index that was written last, of those that are found without being named, or None."""
    return newest(Path.cwd(), _indexes())


def newer_annotations(folder: Path, manifest: "IndexManifest") -> str:
    """Say how an index is built again where its annotations have changed since; "" where they have not."""
    from aaam_pipeline.index.annotations import changed_since

    if not changed_since(folder, manifest):
        return ""
    inputs = [str(near(Path(located(text, folder)))) for text in manifest.annotations]
    return f"annotations are newer than the index: aaam-pipe index {join([*inputs, '--out', str(near(folder))])}"


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
        help="Index, a folder. Default: the newest directly below this folder, or in a folder `index` one deeper.",
        envvar="AAAM_INDEX",
        autocompletion=lambda: _folders(_indexes()),
    ),
]
Decisions = Annotated[
    Path | None,
    typer.Option(
        "--decisions",
        help="Ledger of decisions. Default: decisions.jsonl in the folder that the index lies in, or here.",
        envvar="AAAM_DECISIONS",
    ),
]
Taught = Annotated[
    Path | None,
    typer.Option(
        "--taught",
        help="File of the words that you taught. Default: taught.safetensors in the folder that the index lies in.",
        envvar="AAAM_TAUGHT",
    ),
]
NoDecisions = Annotated[
    bool, typer.Option("--no-decisions", help="Take the model's word alone: nothing that was decided counts.")
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
        "no model: no starter comes with this installation, and there is none below ./models; "
        f"{'make one with `dvc repro`, ' if HERE.pipeline.is_file() else ''}add one with `aaam-pipe model add`, or "
        "name one with --model"
    )


def index(named: Path | None, quiet: bool) -> Path:
    """Return the index named, or the newest that was made here; say on stderr which one was chosen.

    Raises:
        UsageError: none is named and there is none.
    """
    if named:
        log.info("index %s: named", named)
        return named
    found = newest_index()
    if found is None:
        raise UsageError("no index here: make one with `aaam-pipe index annotations`, or name one with --index")
    log.info("index %s: the newest that is found here", near(found))
    if not quiet:
        print(printable(f"index: {near(found)}"), file=sys.stderr)
    return near(found)


def decisions(named: Path | None, index_folder: Path | None) -> Path:
    """Return the ledger of decisions named, or the one beside an index (with no index: in this folder).

    Raises:
        UsageError: what is named is a folder.
    """
    folder = index_folder.absolute().parent if index_folder else Path.cwd()
    found = named or near(folder / DECISIONS)
    if found.is_dir():
        raise UsageError(f"{found} is a folder; --decisions names a file, such as {found / DECISIONS}")
    return found


def nearest_decisions(named: Path | None, index_folder: Path | None) -> Path:
    """Return what `decisions` does, for a command that needs no index: without one named, beside the newest here."""
    return decisions(named, index_folder or newest_index())


def decisions_to_read(context: typer.Context, named: Path | None, index_folder: Path | None) -> Path:
    """Return what `decisions` does, for a command that writes none: a ledger that is typed must be there.

    Raises:
        UsageError: it is not, or is a folder.
    """
    if named and not named.exists() and output.is_typed(context, "decisions"):
        raise UsageError(f"there are no decisions at {named}")
    return decisions(named, index_folder)


def taught(named: Path | None, index_folder: Path | None) -> Path:
    """Return the file of taught words named, or the one beside an index (with no index: here); it need not be there."""
    from aaam_pipeline.formats.taught import path_beside

    return named or near(path_beside(index_folder or HERE.index))


def ledger(context: typer.Context, index_folder: Path) -> Path | Literal[False]:
    """Return the ledger that the options of a command name, or the one beside its index; False for --no-decisions.

    Raises:
        UsageError: what is typed is not there, or what is named is a folder; both options are given.
    """
    given = output.exclusive(context, ("decisions", "no_decisions"))
    if given["no_decisions"]:
        return False
    return decisions_to_read(context, given["decisions"], index_folder)


def thresholds(path: Path) -> Path:
    """Return a file of thresholds.

    Raises:
        UsageError: it is not there.
    """
    if not path.exists():
        raise UsageError(f"{path}: No such file; aaam-pipe thresholds writes one")
    return path
