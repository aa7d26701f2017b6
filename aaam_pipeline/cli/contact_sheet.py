"""Hits as one HTML file that needs no other: thumbnails inside, no scripts, in light or dark as the reader prefers."""

import errno
import io
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from html import escape
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING

from aaam_pipeline.cli import render
from aaam_pipeline.cli.thumbnails import thumbnail
from aaam_pipeline.core.artifacts import absolute, write_bytes
from aaam_pipeline.core.errors import AaamError, ImageError, UsageError

if TYPE_CHECKING:
    from aaam_pipeline.search import Hit

PIXELS, QUALITY = 320, 80
# even if a label or a path were not escaped somewhere, nothing of it could run or be fetched
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --page: #f6f6f4; --card: #fff; --text: #222; --weak: #666; --line: #ddd; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --page: #161618; --card: #222225; --text: #eee; --weak: #a0a0a6; --line: #38383c; }}
}}
body {{ margin: clamp(.8rem, 3vw, 2rem); background: var(--page); color: var(--text);
  font: 14px/1.45 system-ui, sans-serif; }}
h1 {{ font-size: 1.4rem; margin: 0; overflow-wrap: anywhere; }}
p {{ margin: .2rem 0 1.5rem; color: var(--weak); }}
main {{ display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(220px, 1fr)); }}
figure {{ margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }}
.picture {{ display: flex; align-items: center; justify-content: center; height: 220px; background: var(--page);
  color: var(--weak); text-align: center; }}
.picture a {{ display: contents; }}
img {{ max-width: 100%; max-height: 100%; }}
.missing {{ padding: 0 1rem; overflow-wrap: anywhere; }}
figcaption {{ padding: .6rem .8rem .8rem; overflow-wrap: anywhere; }}
.path {{ color: var(--weak); font-size: 12px; margin-top: .3rem; }}
a {{ color: inherit; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{count}</p>
<main>
{figures}</main>
</body>
</html>
"""
FIGURE = """<figure>
<div class="picture">{picture}</div>
<figcaption><b>{score}</b> {labels}<div class="path">{place}</div></figcaption>
</figure>
"""


def write(hits: "Sequence[Hit]", title: str, path: Path) -> None:
    """Write the page atomically; an image that cannot be shown has its error in its place.

    Raises:
        UsageError: the place cannot be written to.
        AaamError: the disk is full.
    """
    # Pillow decodes outside of Python's lock
    with ThreadPoolExecutor(cpu_count()) as pool:
        figures = "".join(pool.map(_figure, hits))
    count = "1 image" if len(hits) == 1 else f"{len(hits)} images"
    page = PAGE.format(policy=POLICY, title=escape(title), count=count, figures=figures)
    try:
        write_bytes(path, page.encode())
    except OSError as error:
        kind = AaamError if error.errno == errno.ENOSPC else UsageError
        raise kind(f"cannot write {path}: {error.strerror or error}") from None


def _figure(hit: "Hit") -> str:
    labels, address = escape(render.labels(hit)), _address(hit)
    try:
        buffer = io.BytesIO()
        thumbnail(hit, PIXELS).convert("RGB").save(buffer, "JPEG", quality=QUALITY)
        data = b64encode(buffer.getvalue()).decode()
        picture = _linked(f'<img alt="{labels}" src="data:image/jpeg;base64,{data}">', address)
    except ImageError as error:
        picture = f'<span class="missing">{escape(str(error))}</span>'
    place = _linked(escape(hit.location), address)
    return FIGURE.format(picture=picture, score=f"{hit.score:.3f}", labels=labels, place=place)


def _linked(content: str, address: str) -> str:
    return f'<a href="{escape(address)}">{content}</a>' if address else content


def _address(hit: "Hit") -> str:
    """Return where a browser finds the image; nothing where it would not."""
    if not hit.is_remote:
        return absolute(hit.file).as_uri()
    # of a root that somebody else wrote, `javascript://` might be one
    return hit.location if hit.root.lower().startswith(("http://", "https://")) else ""
