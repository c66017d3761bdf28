"""Images inside a page."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup
from PIL import Image

# the RGB image of a key, and of its source where a run has several; None where it cannot be had
ImageReader = Callable[..., Image.Image | None]

SMALLEST, LARGEST = 96, 256
_QUALITY = 82
# characters of all images of a page
_BUDGET = 8_000_000


@dataclass(frozen=True)
class InlineImage:
    """An image of the page: its `data:` address, and whether its pixels should stay hard."""

    address: Markup
    tiny: bool


def thumbnails(read_image: ImageReader, budget: int = _BUDGET) -> Callable[..., InlineImage | None]:
    """A function that gives the thumbnail of a key, and of its source where that is named; each image is read once.

    Args:
        read_image: the RGB image of a key, None where it cannot be had.
        budget: characters of all thumbnails that it gives, those of one key each time; then it gives None.
    """
    encoded, left = cache(lambda *key: inline_image(read_image(*key))), budget

    def thumbnail(*key: str) -> InlineImage | None:
        nonlocal left
        if left <= 0 or (found := encoded(*key)) is None or len(found.address) > left:
            return None
        left -= len(found.address)
        return found

    return thumbnail


def inline_image(image: Image.Image | None) -> InlineImage | None:
    """The image with a longer side of 96 to 256 pixels; None where there is nothing to see.

    It is a PNG, or a JPEG where that is smaller, as it is for photographs; tiny images keep their pixels.
    """
    if image is None or not all(image.size):
        return None
    longest = max(image.size)
    tiny = longest < SMALLEST
    shown = image.convert("RGB")
    if tiny:
        factor = -(-SMALLEST // longest)
        shown = shown.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    elif longest > LARGEST:
        width, height = (max(1, round(side * LARGEST / longest)) for side in image.size)
        shown = shown.resize((width, height), Image.Resampling.LANCZOS)
    files = {"png": _encoded(shown, "PNG", optimize=True)}
    if not tiny:
        files["jpeg"] = _encoded(shown, "JPEG", quality=_QUALITY, optimize=True)
    kind, data = min(files.items(), key=lambda file: len(file[1]))
    return InlineImage(Markup(f"data:image/{kind};base64," + base64.b64encode(data).decode("ascii")), tiny)


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()
