"""ICC profiles: those that files hold in other forms than ICC, and the change to sRGB.

A profile says which colours a file's numbers stand for. Formats can say it without one: PNG's chunks cICP, gAMA and
cHRM, the colour box of AVIF, HEIC and JPEG 2000, and the note "R03" in Exif, by which cameras mean Adobe RGB. All of it
becomes an ICC profile here. Code points by ITU-T H.273, profiles by ICC.1:2001-04 (version 2).
"""

import hashlib
import io
import struct
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

# x and y of white, red, green, blue
Primaries = tuple[float, float, float, float, float, float, float, float]
Curve = Callable[[NDArray[np.float64]], NDArray[np.float64]]
D65 = (0.3127, 0.3290)
BT709: Primaries = (*D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
ADOBE_RGB: Primaries = (*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
PRIMARIES: dict[int, Primaries] = {
    1: BT709,
    5: (*D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    7: (*D65, 0.63, 0.34, 0.31, 0.595, 0.155, 0.07),
    9: (*D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
    12: (*D65, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06),
}
ADOBE_GAMMA = 563 / 256
# nits that are the white of an ordinary picture in one of high dynamic range (ITU-R BT.2408)
REFERENCE_WHITE = 203.0
# what is not worth a change: different makers' sRGB profiles differ by so much, of 255
LEAST_DIFFERENCE = 3
# profiles kept at hand; those of cameras and editors are few
KEPT = 64
LARGEST_PROFILE = 16 << 20
# PNG's gamma of sRGB pictures
SRGB_GAMMA = 0.45455
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
D50 = np.array([0.9642, 1.0, 0.8249])


class Conversion(NamedTuple):
    """How pictures of a profile become sRGB; `mode` is Pillow's name of what it takes."""

    mode: str
    transform: ImageCms.ImageCmsTransform

    def apply(self, image: Image.Image) -> Image.Image:
        """Return the picture as sRGB."""
        source = image if image.mode == self.mode else image.convert(self.mode)
        return ImageCms.applyTransform(source, self.transform) or image


_SRGB = ImageCms.createProfile("sRGB")
_known: OrderedDict[tuple[bytes, str], Conversion | None] = OrderedDict()
_lock = Lock()


def conversion(profile: bytes, colours: str) -> Conversion | None:
    """Return how numbers of a profile become sRGB, in `colours` ("RGB", which takes grey as well, or "CMYK").

    None: nothing is to be done; it is sRGB, or damaged, absurd, or for other colours, and left aside, as viewers do.
    """
    key = hashlib.blake2b(profile, digest_size=16).digest(), colours
    with _lock:
        if key in _known:
            _known.move_to_end(key)
            return _known[key]
    found = _conversion(profile, colours)
    with _lock:
        _known[key] = found
        while len(_known) > KEPT:
            _known.popitem(last=False)
    return found


def _conversion(profile: bytes, colours: str) -> Conversion | None:
    if not profile or len(profile) > LARGEST_PROFILE:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(source.profile.xcolor_space.strip(), "")
        if mode not in (("CMYK",) if colours == "CMYK" else ("RGB", "L")):
            return None
        found = Conversion(mode, ImageCms.buildTransform(source, _SRGB, mode, "RGB"))
        if colours == "CMYK":
            return found
        return found if _is_sane(found) and _changes(found) else None
    # LittleCMS can refuse it in many ways
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return None


def _is_sane(found: Conversion) -> bool:
    """Return whether black stays dark, white light, and lighter grey is never darker."""
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(3, 2)
    grey = np.asarray(found.apply(Image.fromarray(ramp)), dtype=np.int16).sum(2)[0] // 3
    return bool(grey[0] <= 64 and grey[255] >= 192 and (np.diff(grey) >= -2).all())


def _changes(found: Conversion) -> bool:
    """Return whether it changes colours by more than makers' profiles of sRGB differ."""
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    if found.mode == "L":
        colours = steps.repeat(3).reshape(1, -1, 3)
    else:
        colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    changed = np.asarray(found.apply(Image.fromarray(colours)), dtype=np.int16)
    return bool(np.abs(changed - colours).max() > LEAST_DIFFERENCE)


def by_code_points(primaries: int, transfer: int) -> bytes:
    """Return the profile of an image by its code points (CICP); b"" for those of sRGB, unknown ones, none."""
    curve = CURVES.get(transfer)
    corners = PRIMARIES.get(primaries)
    if curve is None or corners is None or (corners == BT709 and curve is _srgb):
        return b""
    return matrix_profile(corners, curve)


def by_gamma(gamma: float | None, chromaticity: Primaries | None) -> bytes:
    """Return the profile of a PNG by its chunks gAMA and cHRM; b"" for that of sRGB, or what is absurd."""
    curve: Curve = _srgb
    if gamma is not None:
        if not 0.1 <= gamma <= 3:
            return b""
        if abs(gamma - SRGB_GAMMA) > 0.001:
            curve = power(1 / gamma)
    corners = chromaticity or BT709
    if not all(0 < corners[place] < 1 for place in range(1, 8, 2)):
        return b""
    near = max(abs(one - other) for one, other in zip(corners, BT709, strict=True)) < 0.002
    try:
        return b"" if near and curve is _srgb else matrix_profile(corners, curve)
    except np.linalg.LinAlgError:
        return b""


def adobe_rgb() -> bytes:
    """Return a profile of Adobe RGB (1998)."""
    return matrix_profile(ADOBE_RGB, power(ADOBE_GAMMA))


def power(gamma: float) -> Curve:
    """Return the curve of a display of that gamma."""
    return lambda value: value**gamma


def _srgb(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def _perceptual_quantizer(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """SMPTE ST 2084: to light, where 1 is the white of an ordinary picture; what is brighter is cut off."""
    raised = value ** (1 / 78.84375)
    light = (np.maximum(raised - 0.8359375, 0) / (18.8515625 - 18.6875 * raised)) ** (1 / 0.1593017578125)
    return np.minimum(light * 10_000 / REFERENCE_WHITE, 1)


def _hybrid_log_gamma(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """ITU-R BT.2100: to light, where 1 is the white of an ordinary picture (a signal of 0.75)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    light = np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)
    return np.minimum((light / 0.265) ** 1.2, 1)


# pictures of BT.601 and BT.709 are shown as sRGB is: their own curves are those of cameras, not of displays
CURVES: dict[int, Curve] = {
    1: _srgb, 4: power(2.2), 5: power(2.8), 6: _srgb, 8: power(1), 13: _srgb, 14: _srgb, 15: _srgb,
    16: _perceptual_quantizer, 18: _hybrid_log_gamma,
}  # fmt: skip


def matrix_profile(corners: Primaries, curve: Curve) -> bytes:
    """Return an ICC profile of three primary colours and one curve from numbers to light, both from 0 to 1.

    Raises:
        numpy.linalg.LinAlgError: the corners are no triangle.
    """
    xyz = [np.array([x / y, 1, (1 - x - y) / y]) for x, y in zip(corners[::2], corners[1::2], strict=True)]
    white, matrix = xyz[0], np.stack(xyz[1:], 1)
    matrix = matrix * np.linalg.solve(matrix, white)
    # profiles speak of a white of D50
    adapted = np.linalg.inv(BRADFORD) @ np.diag((BRADFORD @ D50) / (BRADFORD @ white)) @ BRADFORD @ matrix
    table = (curve(np.linspace(0, 1, 1024)).clip(0, 1) * 65535).round().astype(">u2").tobytes()
    tags = {b"wtpt": _xyz(D50)}
    tags |= {tag: _xyz(adapted[:, column]) for column, tag in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    curves = b"curv" + struct.pack(">II", 0, 1024) + table
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curves)
    head, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        place = body.find(content)
        if place < 0:
            place, body = len(body), body + content
        head += struct.pack(">4sII", tag, start + place, len(content))
    header = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + _xyz(D50)[8:]
    return header.ljust(128, b"\0") + head + body


def _xyz(values: NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 65536) for value in values))
