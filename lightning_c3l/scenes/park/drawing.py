"""Images of the park: 72 x 72 pixels, nine places of 2 x 2 cells, one glyph a cell."""

from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lightning_c3l.scenes.park.world import NUMBERS, PLACES, Scene

CELL = 12
SIZE = 6 * CELL
# a small one covers a third of a cell
GLYPH_SIZES = {"small": (6, 7), "large": (10, 11, 12)}
_OVERSAMPLING = 8
_SHADES = {
    "red": (215, 30, 40),
    "green": (25, 150, 60),
    "blue": (35, 70, 215),
    "yellow": (240, 205, 20),
    "purple": (145, 40, 170),
    "gray": (130, 130, 130),
    "orange": (245, 125, 20),
    "black": (25, 25, 25),
}
# outlines in a unit square, y downwards
_OUTLINES: dict[str, tuple[tuple[tuple[float, float], ...], ...]] = {
    "tree": (((0.5, 0), (1, 0.65), (0, 0.65)), ((0.38, 0.65), (0.62, 0.65), (0.62, 1), (0.38, 1))),
    "bird": (((0, 0.15), (0.5, 0.6), (1, 0.15), (0.95, 0.5), (0.5, 0.9), (0.05, 0.5)),),
    "house": (((0.5, 0), (1, 0.45), (0.85, 0.45), (0.85, 1), (0.15, 1), (0.15, 0.45), (0, 0.45)),),
    "boat": (((0, 0.65), (1, 0.65), (0.75, 1), (0.25, 1)), ((0.45, 0), (0.9, 0.55), (0.45, 0.55))),
    "flag": (((0, 0), (0.14, 0), (0.14, 1), (0, 1)), ((0.14, 0), (1, 0), (1, 0.5), (0.14, 0.5))),
    "star": (
        tuple(
            (0.5 + r * 0.5 * np.sin(np.pi * k / 5), 0.5 - r * 0.5 * np.cos(np.pi * k / 5))
            for k, r in enumerate((1.0, 0.4) * 5)
        ),
    ),
    "kite": (((0.5, 0), (0.9, 0.35), (0.5, 0.8), (0.1, 0.35)), ((0.4, 0.8), (0.6, 0.8), (0.8, 1), (0.2, 1))),
}


def draw(scene: Scene) -> Image.Image:
    """The image of a scene, RGB, `SIZE` x `SIZE` pixels; the same scene gives the same image."""
    random = Random(f"park picture {scene.seed}")
    canvas = np.full((SIZE, SIZE, 3), float(random.randint(228, 255)), dtype=np.float32)
    for name, thing in scene.things.items():
        row, column = divmod(PLACES.index(thing.place), 3)
        shade = np.array([min(255, max(0, c + random.randint(-18, 18))) for c in _SHADES[thing.color]], np.float32)
        for cell in random.sample(range(4), NUMBERS.index(thing.number) + 1):
            size = random.choice(GLYPH_SIZES[thing.size])
            top = CELL * (2 * row + cell // 2) + random.randint(0, CELL - size)
            left = CELL * (2 * column + cell % 2) + random.randint(0, CELL - size)
            area = canvas[top : top + size, left : left + size]
            area += _glyph(name, size)[..., None] * (shade - area)
    return Image.fromarray(canvas.round().astype(np.uint8), "RGB")


@lru_cache(maxsize=64)
def _glyph(name: str, size: int) -> NDArray[np.float32]:
    """Coverage [size, size] in 0..1 of a thing, drawn large and averaged down."""
    big = size * _OVERSAMPLING
    mask = Image.new("L", (big, big), 0)
    pen = ImageDraw.Draw(mask)
    if name in _OUTLINES:
        for outline in _OUTLINES[name]:
            pen.polygon([(x * (big - 1), y * (big - 1)) for x, y in outline], fill=255)
    elif name == "flower":
        for x, y in ((0.5, 0.2), (0.2, 0.5), (0.8, 0.5), (0.5, 0.8)):
            pen.ellipse([(c + d) * (big - 1) for d in (-0.2, 0.2) for c in (x, y)], fill=255)
    else:
        pen.ellipse((0, 0, big - 1, big - 1), fill=255)
        if name == "moon":
            pen.ellipse((0.35 * big, -0.1 * big, 1.25 * big, 0.8 * big), fill=0)
    return np.asarray(mask.resize((size, size), Image.Resampling.BOX), dtype=np.float32) / 255.0
