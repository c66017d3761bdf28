"""Thumbnails: sizes, formats, and one reading of each image."""

import base64
import io
import random

import pytest
from PIL import Image

from lightning_c3l.report.thumbnails import inline_image, thumbnails


def shown(image: Image.Image) -> tuple[Image.Image, bool]:
    """The image as the page has it, and whether it counts as tiny."""
    found = inline_image(image)
    assert found is not None
    head, _, body = found.address.partition(",")
    assert head in ("data:image/png;base64", "data:image/jpeg;base64")
    return Image.open(io.BytesIO(base64.b64decode(body))), found.tiny


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((32, 16), (96, 48)),
        ((50, 50), (100, 100)),
        ((1, 1), (96, 96)),
        ((96, 20), (96, 20)),
        ((256, 200), (256, 200)),
        ((1024, 512), (256, 128)),
        ((3, 3000), (1, 256)),
    ],
)
def test_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    image, tiny = shown(Image.new("RGB", size))
    assert image.size == expected
    assert tiny == (max(size) < 96)


def test_tiny_images_keep_their_pixels() -> None:
    tiny = Image.new("L", (2, 1))
    tiny.putpixel((1, 0), 255)
    image, _ = shown(tiny)
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (96, 48))
    assert [image.getpixel((x, 20)) for x in (0, 47, 48, 95)] == [(0, 0, 0)] * 2 + [(255, 255, 255)] * 2


def test_the_smaller_file_is_taken() -> None:
    noise = Image.frombytes("RGB", (200, 200), random.Random(0).randbytes(200 * 200 * 3))
    assert shown(noise)[0].format == "JPEG"
    assert shown(Image.new("RGB", (200, 200), (9, 9, 9)))[0].format == "PNG"


def test_an_image_is_read_once() -> None:
    read = list[str]()
    images = thumbnails(lambda key: read.append(key))  # type: ignore[func-returns-value]
    assert [images("a"), images("b"), images("a")] == [None] * 3
    assert read == ["a", "b"]


def test_every_showing_counts_against_the_budget() -> None:
    read = list[str]()

    def grey(key: str) -> Image.Image:
        read.append(key)
        return Image.new("RGB", (100, 100))

    one = inline_image(Image.new("RGB", (100, 100)))
    assert one is not None
    shown = thumbnails(grey, 2 * len(one.address) + 1)
    assert [shown(key) is not None for key in ("a", "a", "b", "a")] == [True, True, False, False]
    # an image is encoded once
    assert read == ["a", "b"]
