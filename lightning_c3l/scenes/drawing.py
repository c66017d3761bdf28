"""Images of scenes: 48 x 48 pixels, four corners of 2 x 2 cells, one shape a cell."""

from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from lightning_c3l.scenes.world import NUMBERS, PLACES, Scene

CELL = 12
SIZE = 4 * CELL
GLYPH_SIZES = (9, 10, 11)
_OVERSAMPLING = 8
_SHADES = {
    "red": (215, 30, 40),
    "green": (25, 150, 60),
    "blue": (35, 70, 215),
    "yellow": (240, 205, 20),
    "purple": (145, 40, 170),
    "gray": (120, 120, 120),
}


def draw(scene: Scene) -> Image.Image:
    """The image of a scene, RGB, `SIZE` x `SIZE` pixels; the same scene gives the same image."""
    random = Random(f"picture {scene.seed}")
    canvas = np.full((SIZE, SIZE, 3), float(random.randint(228, 255)), dtype=np.float32)
    for shape, thing in scene.things.items():
        top, left = _corner(thing.place)
        cells = random.sample(range(4), NUMBERS.index(thing.number) + 1)
        shade = np.array([min(255, max(0, c + random.randint(-18, 18))) for c in _SHADES[thing.color]], np.float32)
        for cell in cells:
            _stamp(canvas, random, shape, shade, top + CELL * (cell // 2), left + CELL * (cell % 2))
    return Image.fromarray(canvas.round().astype(np.uint8), "RGB")


def _corner(place: str) -> tuple[int, int]:
    """Upper left pixel (row, column) of a corner."""
    index = PLACES.index(place)
    return 2 * CELL * (index // 2), 2 * CELL * (index % 2)


def _stamp(
    canvas: NDArray[np.float32], random: Random, shape: str, shade: NDArray[np.float32], top: int, left: int
) -> None:
    """Blend one glyph into its cell, at a random size and offset."""
    size = random.choice(GLYPH_SIZES)
    top, left = top + random.randint(0, CELL - size), left + random.randint(0, CELL - size)
    area = canvas[top : top + size, left : left + size]
    cover = _glyph(shape, size)[..., None]
    area += cover * (shade - area)


@lru_cache(maxsize=64)
def _glyph(shape: str, size: int) -> NDArray[np.float32]:
    """Coverage [size, size] in 0..1 of a shape, drawn large and averaged down."""
    big = size * _OVERSAMPLING
    mask = Image.new("L", (big, big), 0)
    pen = ImageDraw.Draw(mask)
    edge, middle, third = big - 1, big / 2, big / 3
    if shape in ("circle", "ring"):
        pen.ellipse((0, 0, edge, edge), fill=255)
        if shape == "ring":
            pen.ellipse((big / 4, big / 4, 3 * big / 4, 3 * big / 4), fill=0)
    elif shape == "square":
        pen.rectangle((big / 12, big / 12, edge - big / 12, edge - big / 12), fill=255)
    elif shape == "triangle":
        pen.polygon([(middle, 0), (edge, edge), (0, edge)], fill=255)
    elif shape == "diamond":
        pen.polygon([(middle, 0), (edge, middle), (middle, edge), (0, middle)], fill=255)
    else:
        pen.rectangle((third, 0, 2 * third, edge), fill=255)
        pen.rectangle((0, third, edge, 2 * third), fill=255)
    return np.asarray(mask.resize((size, size), Image.Resampling.BOX), dtype=np.float32) / 255.0
