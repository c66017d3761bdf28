"""Any image file into RGB, or one reason why not.

What becomes of each kind of image:

| kind | becomes |
| --- | --- |
| turned or mirrored by EXIF | upright; an EXIF block that cannot be read counts as upright |
| animated, several pages | the first frame |
| palette | the palette's colors |
| CMYK, YCbCr, Lab | Pillow's conversion, embedded color profiles passed over |
| alpha, transparent color | laid on white |
| 16 and 32 bits of grey | scaled, not clipped, by the least of 8, 10, 12, 14 and 16 bits that holds the brightest |
| 16 bits a color | the upper 8 bits |
| grey floats | 0 to 1 or 0 to 255 where that holds them, else from the least to the greatest value |
| larger than the pixel limit | refused by its header |
"""

import math
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

# What sets of images are made of, with the endings that Pillow knows for each. Left out on purpose: formats that
# start other programs or need a handler (EPS, WMF, GRIB, HDF5, BUFR), that are no single images (PDF, MPEG), that
# decode while they are being opened, before any size can be checked (ICO, CUR, ICNS), that have no signature, so that
# any bytes pass for them (TGA, SPIDER), and game textures and curiosities with slow decoders (BLP, DDS, FTEX and so
# on). A table, not Pillow's own list: which files a folder holds must not depend on how Pillow was built.
FORMATS = {
    "AVIF": (".avif", ".avifs"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "GIF": (".gif",),
    # the decoder of MPO, several JPEGs in one file, is reached through the one of JPEG
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "JPEG2000": (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
    "PCX": (".pcx",),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "PSD": (".psd",),
    "QOI": (".qoi",),
    "SGI": (".sgi", ".rgb", ".rgba", ".bw"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}

MAX_PIXELS = 64_000_000

# Shrinking begins with a cheap reduction to so many times the wanted size; Pillow's own choice for thumbnails.
_GAP = 2.0

# EXIF tag 274: how the stored image has to be turned to be upright
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 274


class UnreadableImage(ValueError):
    """The image cannot be used.

    Attributes:
        reason: one line that says why.
    """

    def __init__(self, reason: str) -> None:
        self.reason = " ".join(reason.split())[:300] or "unknown reason"
        super().__init__(self.reason)


def decode_rgb(
    source: bytes | Path | Image.Image, max_pixels: int = MAX_PIXELS, longest_side: int | None = None
) -> Image.Image:
    """Decode an image as it is meant to be seen: upright, on white, 8 bits per channel, first frame.

    Args:
        source: the file's bytes, its path, or an image that Pillow has opened, which stays as it is.
        max_pixels: larger images are refused by their header, before anything is decoded. Pillow's own limit
            (twice `PIL.Image.MAX_IMAGE_PIXELS`) holds besides.
        longest_side: pixels that neither side may exceed; larger images are shrunk, their proportions kept. JPEG
            files are then decoded at a fraction of their size, which is several times as fast.

    Returns:
        An RGB image that is loaded and independent of the source.

    Raises:
        UnreadableImage: whatever is wrong with the source; nothing else is raised for any bytes.
    """
    try:
        with warnings.catch_warnings():
            # Pillow warns of every odd tag, and a user's `-W error` would turn its size warning into a failure
            warnings.simplefilter("ignore")
            rgb = _decode(source, max_pixels, longest_side)
            if longest_side is not None:
                rgb.thumbnail((longest_side, longest_side), Image.Resampling.BICUBIC, reducing_gap=_GAP)
            return rgb
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage("not an image, or of no supported format") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"too many pixels: {error}") from error
    except Exception as error:  # decoders of damaged files raise nearly every type there is
        raise UnreadableImage(f"damaged: {type(error).__name__}: {error}") from error


def _decode(source: bytes | Path | Image.Image, max_pixels: int, longest_side: int | None) -> Image.Image:
    if isinstance(source, Image.Image):
        return _upright_rgb(source)
    Image.init()
    if isinstance(source, Path):
        # checked first: opening a named pipe would hang
        if not source.is_file():
            raise UnreadableImage("is not a file" if source.exists() else "no such file")
        is_empty = source.stat().st_size == 0
    else:
        is_empty = not source
    if is_empty:
        raise UnreadableImage("is empty")
    # Pillow fails on the name of a format that it was built without
    formats = [name for name in FORMATS if name in Image.OPEN]
    with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=formats) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise UnreadableImage(f"too many pixels: {width}x{height}, the limit is {max_pixels}")
        if longest_side is not None and _GAP * longest_side < max(width, height):
            # lets a JPEG decoder skip what shrinking would discard, and keeps twice the size for it to average
            scale = _GAP * longest_side / max(width, height)
            image.draft(None, (max(1, round(width * scale)), max(1, round(height * scale))))
        return _upright_rgb(image)


def _upright_rgb(image: Image.Image) -> Image.Image:
    if not all(image.size):
        raise UnreadableImage("has no pixels ({}x{})".format(*image.size))
    image.load()
    try:
        # Pillow turns TIFF while it loads, which also removes the tag
        turn = _UPRIGHT.get(int(image.getexif().get(_ORIENTATION, 1)))
    except Exception:  # the EXIF block cannot be read, the image still can
        turn = None
    rgb = _to_rgb(image)
    return rgb.transpose(turn) if turn is not None else rgb


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _deep_to_rgb(image)
    if image.mode == "La":
        image = image.convert("LA")
    if not image.has_transparency_data:
        # a copy, because the opened file is closed under the original
        return image.copy() if image.mode == "RGB" else image.convert("RGB")
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    return Image.alpha_composite(white, rgba).convert("RGB")


def _deep_to_rgb(image: Image.Image) -> Image.Image:
    """Scale (never clip) grey levels of 16 bits, 32 bits or floats to 8 bits."""
    values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = _range(values, is_float=image.mode == "F")
    grey = np.rint((values - low) / (high - low) * 255.0).astype(np.uint8)
    transparent: Any = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey).convert("RGB")


def _range(values: "np.ndarray[Any, np.dtype[np.float64]]", is_float: bool) -> tuple[float, float]:
    """The values that become black and white.

    Integers: the smallest depth of usual sensors that holds the brightest value, since 10- and 12-bit images are
    stored in 16 bits without saying so and would come out black. Floats: 0 to 1 or 0 to 255 where that holds them.
    Otherwise: their own least and greatest value.
    """
    least, most = float(values.min()), float(values.max())
    scales = (1.0, 255.0) if is_float else tuple(2.0**bits - 1 for bits in (8, 10, 12, 14, 16))
    if least >= 0:
        for scale in scales:
            if most <= scale:
                return 0.0, scale
    return least, most if most > least else math.inf  # one level alone becomes black
