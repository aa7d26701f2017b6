"""What the shell completes besides commands and options: labels of an index, bundles and indexes below this folder."""

from collections.abc import Iterable
from pathlib import Path

import typer

from aaam_pipeline.core.errors import AaamError
from aaam_pipeline.core.project import BUNDLES, HERE, INDEXES


def labels(context: typer.Context, incomplete: str) -> list[str]:
    """Return the labels of the index that the command would use, as far as it can be read."""
    from aaam_pipeline.index import manifest

    folder = context.params.get("index") or HERE.newest_index()
    try:
        return manifest.read(folder).vocabulary if folder else []
    except (AaamError, OSError):
        return []


def bundles(incomplete: str) -> list[str]:
    """Return the model bundles below this folder."""
    return _folders(BUNDLES)


def indexes(incomplete: str) -> list[str]:
    """Return the indexes below this folder."""
    return _folders(INDEXES)


def _folders(patterns: Iterable[str]) -> list[str]:
    return sorted({str(match.parent) for pattern in patterns for match in Path().glob(pattern)})
