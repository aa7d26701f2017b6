"""One table of formats and suffixes: what the decoder reads is found in folders and tars, and what is found is read."""

import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from finding import find, paths, touch
from imaging.heic_files import heic
from PIL import Image
from test_inputs_shards import shard

from aaam_pipeline.annotate import reader
from aaam_pipeline.annotate.inputs.base import RAW_SUFFIXES
from aaam_pipeline.imaging.formats import READ, SUFFIXES

Image.init()
# what Pillow writes by another name, or only with an option
WRITTEN = {
    "ppm": ("PPM", {}),
    ".btf": ("TIFF", {"big_tiff": True}),
    ".tf8": ("TIFF", {"big_tiff": True}),
    ".mpo": ("MPO", {"save_all": True, "append_images": [Image.new("RGB", (40, 30))]}),
    ".jp2": ("JPEG2000", {}),
    ".j2k": ("JPEG2000", {"no_jp2": True}),
    ".j2c": ("JPEG2000", {"no_jp2": True}),
    ".jpc": ("JPEG2000", {"no_jp2": True}),
}
MODES = {".pbm": "1", ".pgm": "L", ".pfm": "F"}


def encoded(key: str, suffix: str) -> bytes:
    """A picture of a format, as programs write it under a suffix."""
    if key == "heic":
        return heic("scene")
    plugin, options = WRITTEN.get(suffix, WRITTEN.get(key, (READ[key].plugin, {})))
    pixels = np.linspace(0, 255, 40 * 30 * 3).reshape(30, 40, 3).astype("uint8")
    picture = Image.fromarray(pixels).convert(MODES.get(suffix, "RGB"))
    if suffix == ".pfm":
        picture = Image.fromarray(np.linspace(0, 1, 1200, dtype="float32").reshape(30, 40))
    made = io.BytesIO()
    picture.save(made, plugin, **options)
    return made.getvalue()


@pytest.mark.parametrize(
    ("key", "suffix"), [(key, suffix) for key, kind in READ.items() for suffix in kind.suffixes], ids=str
)
def test_each_suffix_is_found_and_such_a_picture_is_read(key: str, suffix: str, tmp_path: Path) -> None:
    content = encoded(key, suffix)
    names = [f"a{suffix}", f"b{suffix.upper()}", f"c{suffix.title()}"]
    for name in names:
        (tmp_path / name).write_bytes(content)
    touch(tmp_path, "notes.txt")
    shard(tmp_path / "s.tar", dict.fromkeys(names, content))
    found = find(tmp_path)
    assert [item.path for item in found] == sorted(names)
    assert paths(tmp_path / "s.tar") == [f"s.tar/{name}" for name in names]
    assert paths(tmp_path / f"**/*{suffix}") == [names[0]]
    picture = reader.read(found[0], 32).picture
    assert not isinstance(picture, Exception), picture
    assert (picture.width, picture.height) == (40, 30)


def test_usual_suffixes_of_the_formats_are_in_the_table() -> None:
    plugins = {kind.plugin for kind in READ.values()} | {"MPO", "DIB"}
    registered = {suffix for suffix, plugin in Image.registered_extensions().items() if plugin in plugins}
    usual = [".jpe", ".jfif", ".pjpeg", ".pjp", ".mpo", ".hif", ".heif", ".jp2", ".j2k", ".jpx", ".j2c", ".ppm", ".pnm"]
    assert registered | {*usual} <= SUFFIXES
    assert not SUFFIXES & RAW_SUFFIXES


def test_raw_files_are_counted_by_themselves(tmp_path: Path) -> None:
    skipped: Counter[str] = Counter()
    find(touch(tmp_path, "a.jpg", "b.NEF", "c.cr2", "d.dng", "e.mp4", "a.jpg.xmp"), skipped=skipped)
    assert skipped == {"raw file": 3, "not an image": 1, "sidecar": 1}
