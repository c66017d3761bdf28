"""Images read back from their pixels, by nothing that drew them."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lightning_c3l.scenes.drawing import SIZE, draw
from lightning_c3l.scenes.language import Query, true_answer
from lightning_c3l.scenes.world import Scene, Thing, sample_scene

# what each colour looks like, told by eye: (red, green, blue) as high, middle or low
LOOK = {
    "red": (215, 30, 40),
    "green": (25, 150, 60),
    "blue": (35, 70, 215),
    "yellow": (240, 205, 20),
    "purple": (145, 40, 170),
    "gray": (120, 120, 120),
}
HALF = {"top": slice(0, 24), "bottom": slice(24, 48), "left": slice(0, 24), "right": slice(24, 48)}
NUMBERS = {1: "one", 2: "two", 3: "three", 4: "four"}


def corner(image: Image.Image, place: str) -> NDArray[np.int16]:
    vertical, horizontal = place.split()
    return np.asarray(image).astype(np.int16)[HALF[vertical], HALF[horizontal]]


def ink(pixels: NDArray[np.int16], background: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Pixels that are far from the background."""
    return np.abs(pixels - background).sum(-1) > 90


def glyphs(mask: NDArray[np.bool_]) -> int:
    """Cells of the 2 x 2 grid that hold anything: glyphs may touch, but never leave their cell."""
    return sum(bool(mask[r : r + 12, c : c + 12].any()) for r in (0, 12) for c in (0, 12))


def components(mask: NDArray[np.bool_]) -> int:
    """Connected areas of a mask, diagonals included."""
    left, count = {(int(r), int(c)) for r, c in np.argwhere(mask)}, 0
    while left:
        count, stack = count + 1, [left.pop()]
        while stack:
            r, c = stack.pop()
            near = {(r + i, c + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            stack.extend(near)
    return count


def read_color(pixels: NDArray[np.int16], mask: NDArray[np.bool_], background: NDArray[np.int16]) -> str:
    """The colour of the inkiest pixels."""
    distance = np.abs(pixels - background).sum(-1) * mask
    shade = pixels[distance > 0.9 * distance.max()].mean(0)
    return min(LOOK, key=lambda name: float(np.abs(shade - np.array(LOOK[name])).sum()))


@pytest.mark.parametrize("seed", range(40))
def test_pixels_say_what_the_truth_says(seed: int) -> None:
    scene = sample_scene(seed, 0.3)
    image = draw(scene)
    background = np.asarray(image).astype(np.int16).reshape(-1, 3).max(0)
    filled = set[str]()
    for place in ("top left", "top right", "bottom left", "bottom right"):
        pixels = corner(image, place)
        mask = ink(pixels, background)
        if not mask.any():
            continue
        filled.add(place)
        (shape,) = [s for s, thing in scene.things.items() if thing.place == place]
        assert true_answer(scene, Query("place", shape)) == place
        assert true_answer(scene, Query("color", shape)) == read_color(pixels, mask, background)
        assert true_answer(scene, Query("number", shape)) == NUMBERS[glyphs(mask)]
    assert filled == {thing.place for thing in scene.things.values()}


def alone(shape: str, number: str = "one", seed: int = 1) -> Scene:
    return Scene({shape: Thing("blue", "top left", number)}, seed)


def mask_of(scene: Scene) -> NDArray[np.bool_]:
    image = draw(scene)
    background = np.asarray(image).astype(np.int16).reshape(-1, 3).max(0)
    return ink(corner(image, "top left"), background)


@pytest.mark.parametrize("shape", ["circle", "square", "triangle", "cross", "diamond", "ring"])
def test_each_glyph_is_one_area(shape: str) -> None:
    for seed in range(10):
        assert components(mask_of(alone(shape, seed=seed))) == 1


def features(shape: str, seed: int) -> tuple[bool, float, bool]:
    """Of one glyph: ink at its centre, share of its box that is inked, wider at the foot than at the head."""
    mask = mask_of(alone(shape, seed=seed))
    rows, columns = np.argwhere(mask.any(1))[:, 0], np.argwhere(mask.any(0))[:, 0]
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    middle = bool(box[box.shape[0] // 2, box.shape[1] // 2])
    return middle, float(box.mean()), int(box[-2:].sum()) > int(box[:2].sum()) + 3


def test_shapes_look_like_their_names() -> None:
    for seed in range(10):
        looks = {shape: features(shape, seed) for shape in ("circle", "square", "triangle", "cross", "diamond", "ring")}
        assert not looks["ring"][0]
        assert all(look[0] for shape, look in looks.items() if shape != "ring")
        assert looks["square"][1] > 0.95 > looks["circle"][1]
        assert looks["circle"][1] > looks["diamond"][1]
        assert [shape for shape, look in looks.items() if look[2]] == ["triangle"]


def test_images_are_rgb_of_one_size_and_repeat() -> None:
    scene = sample_scene(3, 0.5)
    image = draw(scene)
    assert (image.mode, image.size) == ("RGB", (SIZE, SIZE)) == ("RGB", (48, 48))
    assert image.tobytes() == draw(scene).tobytes()
    assert image.tobytes() != draw(Scene(scene.things, scene.seed + 1)).tobytes()
