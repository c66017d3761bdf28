"""An image source in a file of the user's own; `test_rounds` makes rounds with it."""

import io
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules.images.sources import open_images, require_images
from data_modules.rounds import RoundDataModule
from lightning_c3l.cli.run_images import RunImages

NAME = "my_source.Album"


@pytest.fixture(scope="module", autouse=True)
def _album(written: Any, working_folder: Path) -> None:
    assert written("source") == "my_source"
    with closing(sqlite3.connect(working_folder / "album.sqlite")) as album, album:
        album.execute("CREATE TABLE images (name TEXT PRIMARY KEY, data BLOB)")
        for name, color in (("b/red.png", "red"), ("a.png", "blue")):
            file = io.BytesIO()
            Image.new("RGB", (40, 20), color).save(file, "PNG")
            album.execute("INSERT INTO images VALUES (?, ?)", (name, file.getvalue()))
        album.execute("INSERT INTO images VALUES ('c.png', 'no image')")


def test_images_are_read_by_name(working_folder: Path) -> None:
    source = open_images(f"{NAME}:album.sqlite", working_folder / "spool", longest_side=10)
    assert source.keys() == ["a.png", "b/red.png", "c.png"]
    assert source.root is None
    image = source.read("b/red.png")
    assert (image.size, image.getpixel((3, 3))) == ((10, 5), (255, 0, 0))


def test_rounds_list_what_cannot_be_read() -> None:
    data = RoundDataModule(f"{NAME}:album.sqlite")
    found = data.source("images")
    assert found is not None
    assert found[1] == ["a.png", "b/red.png"]
    assert [one.key for one in data.rejected] == ["c.png"]


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (f"{NAME}:nothing.sqlite", r"nothing\.sqlite: no such file"),
        ("my_source.Albums:x", r"data\.images my_source\.Albums: .*did you mean Album\?"),
        (
            "builtins.dict:",
            r"data\.images builtins\.dict: cannot be used as an image source: what it returns has no raw",
        ),
        ("my_source.sqlite3:x", r"cannot be used as an image source: it is a module; write"),
    ],
)
def test_what_is_no_source(spec: str, said: str, working_folder: Path) -> None:
    with pytest.raises(ValueError, match=said):
        open_images(spec, working_folder)


def test_a_folder_of_such_a_name_is_a_folder(working_folder: Path) -> None:
    (working_folder / "my_source.Album:old").mkdir()
    Image.new("RGB", (4, 4)).save(working_folder / "my_source.Album:old" / "x.png")
    assert open_images("my_source.Album:old", working_folder).keys() == ("x.png",)
    require_images(f"{NAME}:nothing.sqlite")  # only the class is looked for
    assert open_images(f"{working_folder}/my_source.Album:old", working_folder).keys() == ("x.png",)


@pytest.mark.parametrize("spec", ["theirs.Album:x", "scenes:count=2,world=theirs.World"])
def test_a_run_folder_names_no_code(spec: str, working_folder: Path) -> None:
    (working_folder / "theirs.py").write_text("raise SystemExit('imported')\n")
    images = RunImages({"data": {"init_args": {"images": spec}}}, working_folder, "fit")
    assert images.read("a.png") is None
    (problem,) = images.problems
    assert "comes from code of your own, which only a run imports" in problem
