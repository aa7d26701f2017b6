"""Hits as one HTML file that needs no other: thumbnails inside, no scripts, in light or dark as the reader prefers."""

import errno
import io
import string
from base64 import b64encode
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from aaam_pipeline.cli import render
from aaam_pipeline.cli.photos import thumbnail
from aaam_pipeline.core.artifacts import absolute, write_bytes
from aaam_pipeline.core.errors import AaamError, ImageError, UsageError
from aaam_pipeline.core.logging import printable_lines
from aaam_pipeline.core.machine import available_cores

if TYPE_CHECKING:
    from aaam_pipeline.search import Hit

PIXELS, QUALITY = 320, 80
# even if a label or a path were not escaped somewhere, nothing of it could run or be fetched
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


# what tells a page of ours from others
HEAD_BYTES, MARK = 4096, b"default-src &#39;none&#39;; img-src data:; style-src &#39;unsafe-inline&#39;"


def check(path: Path, force: bool) -> None:
    """Check that a page may be written: where there is no file yet, or one that is a contact sheet, or with `force`.

    Raises:
        UsageError: it may not, or the folder is not there.
    """
    try:
        if path.is_dir():
            raise UsageError(f"--html {path} is a folder; name a file")
        if not path.parent.is_dir():
            raise UsageError(f"--html {path}: there is no folder {path.parent}; make it, or name another")
        if path.exists() and not force:
            with path.open("rb") as stream:
                if MARK not in stream.read(HEAD_BYTES):
                    raise UsageError(
                        f"{path} exists and is no contact sheet; name another file, or replace it with --force"
                    )
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from None


def write(hits: "Sequence[Hit]", title: str, path: Path, heads: Mapping[int, str] | None = None) -> None:
    """Write the page atomically; an image that cannot be shown has its error instead.

    `heads`: headings, by the number of the hit that they stand before.

    Raises:
        UsageError: the path cannot be written to.
        AaamError: the disk is full.
    """
    # Pillow decodes outside of Python's lock
    with ThreadPoolExecutor(available_cores()) as pool:
        cards = list(pool.map(_card, hits))
    templates = Environment(
        loader=PackageLoader("aaam_pipeline.cli"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=printable_lines,
    )
    page = templates.get_template("contact_sheet.html.j2").render(
        policy=POLICY, title=title, cards=cards, heads=heads or {}
    )
    try:
        write_bytes(path, page.encode())
    except OSError as error:
        kind = AaamError if error.errno == errno.ENOSPC else UsageError
        raise kind(f"cannot write {path}: {error.strerror or error}") from None


def _card(hit: "Hit") -> dict[str, str]:
    """Return what the page shows of a hit: its thumbnail as base64, or why there is none, and where it leads."""
    card = {
        "score": f"{hit.score:.3f}",
        "labels": render.labels(hit),
        "mark": "unfamiliar" if hit.unfamiliar else "",
        "location": hit.location,
        "address": _address(hit),
        "jpeg": "",
        "error": "",
    }
    try:
        buffer = io.BytesIO()
        thumbnail(hit, PIXELS).convert("RGB").save(buffer, "JPEG", quality=QUALITY)
        card["jpeg"] = b64encode(buffer.getvalue()).decode()
    except ImageError as error:
        card["error"] = str(error)
    return card


def _address(hit: "Hit") -> str:
    """Return where a browser finds the image; nothing where it would not."""
    if not hit.is_remote:
        return absolute(hit.file).as_uri()
    # of a root that somebody else wrote, `javascript://` might be one
    if not hit.root.lower().startswith(("http://", "https://")):
        return ""
    # what turns the direction of text stays in the address, but is not seen
    return quote(hit.location, safe=string.punctuation)
