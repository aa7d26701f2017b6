"""Hits as a folder of copies or links whose names sort as the hits rank."""

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aaam_pipeline.cli.thumbnails import GONE, is_remote
from aaam_pipeline.core.artifacts import PARTIAL, absolute

if TYPE_CHECKING:
    from aaam_pipeline.search import Hit


def collect(hits: "Sequence[Hit]", folder: Path, *, link: bool) -> bool:
    """Copy or link images into an empty folder as `0001_NAME`, best first.

    What cannot be is counted and said in a line on stderr. Returns whether all of them are there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    width = max(4, len(str(len(hits))))
    failures: Counter[str] = Counter()
    for rank, hit in enumerate(hits, 1):
        name = f"{rank:0{width}d}_{Path(hit.path).name}"
        if why := "behind a URL" if is_remote(hit) else _put(absolute(hit.file), folder / name, link):
            failures[why] += 1
    if failures:
        counts = ", ".join(f"{count} {why}" for why, count in failures.items())
        done = "linked" if link else "copied"
        print(f"error: {failures.total()} of {len(hits)} images were not {done}: {counts}", file=sys.stderr)
    return not failures


def _put(source: Path, target: Path, link: bool) -> str | None:
    """Return why a file could not be put in its place, or None."""
    if not source.is_file():
        return GONE
    # a copy that is interrupted must not look like a whole one
    partial = target.with_name(f".{target.name}{PARTIAL}")
    try:
        if link:
            target.symlink_to(source)
            return None
        shutil.copy2(source, partial)
        partial.rename(target)
    except OSError as error:
        return error.strerror or str(error)
    finally:
        partial.unlink(missing_ok=True)
    return None
