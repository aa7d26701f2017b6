"""Photographs as phones write them, in heic/: the decoder that the extra `heic` brings has no encoder to make them.

python tests/imaging/heic_files.py      makes them anew, with pillow-heif in an environment of its own
"""

import re
import sys
from pathlib import Path

import pytest
from PIL import Image

FOLDER = Path(__file__).parent / "heic"


def heic(name: str) -> bytes:
    """Return a file of the folder; the test is skipped where nothing decodes it."""
    pytest.importorskip("pi_heif")
    return _path(name).read_bytes()


def _path(name: str) -> Path:
    words = re.findall(r"\w+", name.lower())
    return FOLDER / f"{'-'.join(words)}.heic"


def make() -> None:
    sys.path[:0] = [str(Path(__file__).parents[1])]
    from imaging import test_colour, test_exif
    from models.pictures import RED, encoded, noted, scene, turned
    from pillow_heif import register_heif_opener

    register_heif_opener()
    files = {
        "red": encoded(Image.new("RGB", (64, 40), RED), "HEIF"),
        "scene": encoded(scene(40, 30), "HEIF"),
    }
    for orientation in range(1, 9):
        image = Image.new("RGB", (240, 160), "black")
        image.paste(RED, (0, 0, 120, 80))
        files[f"orientation {orientation}"] = encoded(image, "HEIF", exif=turned(orientation), quality=95)
    for orientation in (1, 6):
        exif = noted(test_exif.CAMERA, orientation=orientation)
        files[f"camera {orientation}"] = encoded(scene(40, 30), "HEIF", exif=exif)
    lossless = {"quality": -1, "chroma": 444}
    for space, (colours, gamma, version) in test_colour.SPACES.items():
        other = test_colour.twin(test_colour.colourful(), colours, gamma)
        icc = test_colour.profile(colours, gamma, version)
        files[space] = encoded(other, "HEIF", icc_profile=icc, **lossless)
    files["code points"] = encoded(test_colour.twin(test_colour.colourful(), test_colour.P3), "HEIF", **lossless)
    for name, content in files.items():
        _path(name).write_bytes(content)


if __name__ == "__main__":
    make()
