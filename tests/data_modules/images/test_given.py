"""Images as a program has them: which kinds are taken, what they are called, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_modules.images.given import given_images
from data_modules.scenes import SceneImages

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(*pixels: tuple[int, int, int]) -> Image.Image:
    """A row of pixels."""
    image = Image.new("RGB", (len(pixels), 1))
    image.putdata(pixels)
    return image


def pixels(images: Any, **options: Any) -> list[list[tuple[int, int, int]]]:
    """Rows of the images in the order given."""
    given = given_images(images, **options)
    return [list(map(tuple, np.asarray(given.read(key)).reshape(-1, 3).tolist())) for key in given.keys]


ROW = np.array([[RED, BLUE]], np.uint8)


@pytest.mark.parametrize(
    "image",
    [
        picture(RED, BLUE),
        ROW,
        ROW.astype(np.int64),
        ROW / 255,
        (ROW / 255).astype(np.float32),
        np.array([[(*RED, 255), (*BLUE, 255)]], np.uint8),
    ],
    ids=["pillow", "uint8", "int64", "float64", "float32", "alpha"],
)
def test_an_image_in_memory(image: Any) -> None:
    given = given_images(image)
    assert given.is_one
    assert pixels(image) == [[RED, BLUE]]
    assert given.keys == given_images(picture(RED, BLUE)).keys
    assert given.source.root is None
    assert given.keys[0].endswith(".png")


@pytest.mark.parametrize("image", [np.array([[0, 128]], np.uint8), np.array([[[0], [128]]], np.uint8)])
def test_grey(image: Any) -> None:
    assert pixels(image) == [[(0, 0, 0), (128, 128, 128)]]


def test_an_image_has_one_name_wherever_it_is_given() -> None:
    red, blue = picture(RED), picture(BLUE)
    several = given_images([red, blue, picture(RED)])
    assert not several.is_one
    assert several.keys == [several.keys[0], several.keys[1], several.keys[0]]
    assert several.keys[0] != several.keys[1]
    assert list(several.source.keys()) == several.keys[:2]
    assert given_images([blue]).keys == [several.keys[1]]
    # the same bytes in another shape are another image
    assert given_images(Image.new("RGB", (2, 3))).keys != given_images(Image.new("RGB", (3, 2))).keys


def test_an_array_of_images() -> None:
    assert pixels(np.stack([ROW, ROW[:, ::-1]])) == [[RED, BLUE], [BLUE, RED]]


def test_the_object_given_stays_as_it_is() -> None:
    image = Image.new("RGBA", (40, 20))
    given = given_images(image, longest_side=10)
    assert given.read(given.keys[0]).size == (10, 5)
    assert (image.mode, image.size) == ("RGBA", (40, 20))


def test_files_are_named_below_the_folder_that_holds_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, color in (("a/x.png", RED), ("b/y.png", BLUE)):
        (tmp_path / name).parent.mkdir()
        picture(color).save(tmp_path / name)
    files = [tmp_path / "a/x.png", str(tmp_path / "b/y.png"), tmp_path / "b" / ".." / "a" / "x.png"]
    given = given_images(files)
    assert given.keys == ["a/x.png", "b/y.png", "a/x.png"]
    assert given.source.root == tmp_path
    assert pixels(files) == [[RED], [BLUE], [RED]]
    monkeypatch.chdir(tmp_path)
    one = given_images("a/x.png")
    assert (one.is_one, list(one.keys), one.source.root) == (True, ["x.png"], tmp_path / "a")
    # among objects a file is one of them
    assert pixels(["a/x.png", picture(BLUE)]) == [[RED], [BLUE]]


def test_folders_globs_scenes_and_open_sources(tmp_path: Path) -> None:
    picture(RED).save(tmp_path / "x.png")
    picture(BLUE).save(tmp_path / "y.bmp")
    assert list(given_images(tmp_path).keys) == ["x.png", "y.bmp"]
    assert list(given_images(f"{tmp_path}/*.bmp").keys) == ["y.bmp"]
    scenes = SceneImages(2, seed=3)
    assert given_images(scenes).source is scenes
    assert list(given_images("scenes:count=2,seed=3").keys) == list(scenes.keys())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no image given"),
        ("no/such.png", "no/such.png: no such image, folder or glob"),
        (3, "int is no image"),
        ([picture(RED), None], "image 2 of those given: NoneType is no image"),
        (np.zeros((3, 8, 8), np.uint8), r"array.transpose\(1, 2, 0\)"),
        (np.zeros((8, 8, 2), np.uint8), r"is \[8, 8, 2\]"),
        (np.zeros(8, np.uint8), r"is \[8\]"),
        (np.full((2, 2), 256), "whole numbers from 0 to 255"),
        (np.full((2, 2), 1.5), "floats from 0 to 1"),
        (np.full((2, 2), np.nan), "floats from 0 to 1"),
        (np.zeros((2, 2), bool), "whole numbers"),
        (np.zeros((0, 4, 3), np.uint8), "has no pixels"),
    ],
)
def test_what_is_refused(images: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        given_images(images)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"nothing")
    given = given_images([tmp_path / "broken.png", tmp_path / "gone.png"])
    for key, reason in (("broken.png", "not an image"), ("gone.png", "no such file")):
        with pytest.raises(ValueError, match=f"{key}: {reason}"):
            given.read(key)


def test_several_are_used_without_those_that_cannot_be_read(tmp_path: Path) -> None:
    picture(RED).save(tmp_path / "fine.png")
    for number in range(6):
        (tmp_path / f"text {number}.jpg").write_text("no image")
    with pytest.warns(UserWarning, match=r"^6 of 7 images are left out: text 0\.jpg: not an .* and 1 more$"):
        assert given_images(tmp_path).readable() == ["fine.png"]
    # several that are the same image are one
    assert given_images([tmp_path / "fine.png"] * 2).readable() == ["fine.png"]
    # without any, there is nothing to go on with
    with pytest.raises(ValueError, match=r"none of the 6 images given can be read: text 0\.jpg: not an image"):
        given_images(f"{tmp_path}/*.jpg").readable()
    # one alone says so itself when it is read
    assert given_images(tmp_path / "text 0.jpg").readable() == ["text 0.jpg"]


def test_a_file_among_objects_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ValueError, match=r"image 2 of those given \(.*/text\.jpg\): not an image"):
        given_images([picture(RED), tmp_path / "text.jpg"])


def test_other_images_are_refused() -> None:
    given = given_images([picture(RED)])
    given.require(given.keys)
    with pytest.raises(ValueError, match=r"about x.png, which is none of the images given \(1\)"):
        given.require([given.keys[0], "x.png"])
