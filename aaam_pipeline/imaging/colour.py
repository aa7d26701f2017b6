"""Pictures of any mode as RGB, as a viewer would show them: transparency on white, inks and deep grey converted."""

import io

import numpy as np
from PIL import Image, ImageCms


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the picture as RGB, 8 bits a channel."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):
        return _from_deep(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    if image.mode in ("CMYK", "LAB"):
        return _from_print(image)
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """Return a 16- or 32-bit grey picture as RGB; Pillow's own conversion would clip everything above 255 to white."""
    deep = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    top = 65535.0 if image.mode.startswith("I") and deep.max(initial=0) > 255 else max(deep.max(initial=0), 255.0)
    return Image.fromarray((deep.clip(0, top) * (255 / top)).astype(np.uint8), "L").convert("RGB")


def _from_print(image: Image.Image) -> Image.Image:
    """Return the RGB that inks stand for, by the profile of the press where the file holds one, or a Lab picture's."""
    if image.mode == "CMYK" and "icc_profile" not in image.info:
        return image.convert("RGB")
    try:
        source = (
            ImageCms.createProfile("LAB")
            if image.mode == "LAB"
            else ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        )
        shown = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    # a profile that is damaged or for other colours is left aside, as viewers do
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError):
        return image.convert("RGB")
    return shown or image.convert("RGB")
