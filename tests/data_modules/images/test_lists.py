"""Files that name images: plain lists and COCO annotations."""

import json
from pathlib import Path

import pytest
from PIL import Image

from data_modules.images.scanning import scan
from data_modules.images.sources import EncodedImages, open_images


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2), "red").save(folder / name)


def opened(path: Path | str, limit: int | None = None) -> EncodedImages:
    return open_images(str(path), Path("absent-spool"), limit)


def coco(path: Path, *names: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": number, "file_name": name, "width": 3, "height": 2} for number, name in enumerate(names)]
    path.write_text(json.dumps({"info": {}, "annotations": [], "images": images}))
    return path


@pytest.mark.parametrize("name", ["list.txt", "list.LST"])
def test_list(tmp_path: Path, name: str) -> None:
    make(tmp_path, "b.png", "a/ü 1.png", "a/#x.png")
    text = "\ufeff# pictures\nb.png\r\n\n  a/ü 1.png\na/../b.png\n./a/#x.png\nabsent.png"
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    source = opened(tmp_path / name)
    assert source.root == tmp_path
    assert list(source.keys()) == ["b.png", "a/ü 1.png", "a/#x.png", "absent.png"]
    assert source.raw("a/ü 1.png") == tmp_path / "a/ü 1.png"
    readable, rejected = scan(source, source.keys())
    assert readable == ["b.png", "a/ü 1.png", "a/#x.png"]
    assert [(item.key, item.reason) for item in rejected] == [("absent.png", "no such file")]
    assert list(opened(tmp_path / name, limit=2).keys()) == ["b.png", "a/ü 1.png"]


def test_list_of_files_elsewhere(tmp_path: Path) -> None:
    make(tmp_path, "one/x.png", "two/x.png", "lists/x.png")
    (tmp_path / "lists/all.txt").write_text(f"{tmp_path}/one/x.png\n../two/x.png\nx.png\n")
    source = opened(tmp_path / "lists/all.txt")
    assert source.root == tmp_path
    assert list(source.keys()) == ["one/x.png", "two/x.png", "lists/x.png"]
    assert scan(source, source.keys()) == (list(source.keys()), [])


def test_list_with_names_that_are_no_text(tmp_path: Path) -> None:
    make(tmp_path, "good.png")
    (tmp_path / "list.txt").write_bytes(b"good.png\n\xff.png\n")
    readable, rejected = scan(source := opened(tmp_path / "list.txt"), source.keys())
    assert readable == ["good.png"]
    assert [item.reason for item in rejected] == ["the file's name is no valid UTF-8"]


def test_list_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("# only a remark\n\n")
    with pytest.raises(ValueError, match=r"list\.txt: lists no image"):
        opened(tmp_path / "list.txt")
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "absent.txt")


@pytest.mark.parametrize(
    ("annotations", "folder"),
    [
        ("a.json", "."),
        ("a.json", "images"),
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017"),
        ("annotations/a.json", "images"),
        ("instances_val2017.json", "val2017"),
        ("instances_val2017.json", "images/val2017"),
    ],
)
def test_coco_finds_the_folder_of_its_images(tmp_path: Path, annotations: str, folder: str) -> None:
    make(tmp_path / folder, "1.png", "2.png")
    source = opened(coco(tmp_path / annotations, "0.png", "1.png", "2.png", "1.png"))
    assert source.root is not None
    assert source.root.resolve() == (tmp_path / folder).resolve()
    readable, rejected = scan(source, source.keys())
    assert (readable, [item.key for item in rejected]) == (["1.png", "2.png"], ["0.png"])


def test_coco_takes_the_folder_with_most_images_or_the_one_given(tmp_path: Path) -> None:
    make(tmp_path / "images", "1.png")
    make(tmp_path / "train", "1.png", "2.png")
    make(tmp_path / "other", "1.png")
    path = coco(tmp_path / "captions_train.json", "1.png", "2.png")
    assert opened(path).root == tmp_path / "train"
    assert opened(f"{path}::other").root == tmp_path / "other"
    assert opened(f"{path}::{tmp_path}/images").root == tmp_path / "images"


def test_coco_without_its_images(tmp_path: Path) -> None:
    path = coco(tmp_path / "captions_train.json", "1.png")
    with pytest.raises(ValueError, match=r"its images are in none of .*train.*::FOLDER"):
        opened(path)
    with pytest.raises(ValueError, match=r"in none of .*absent"):
        opened(f"{path}::absent")


def test_coco_reads_nothing_outside_of_the_folder(tmp_path: Path) -> None:
    make(tmp_path, "secret.png", "in/1.png")
    names = ["1.png", "../secret.png", f"{tmp_path}/secret.png", "a/../../secret.png", "\ud800.png", "a\0b.png"]
    source = opened(coco(tmp_path / "in/a.json", *names))
    readable, rejected = scan(source, source.keys())
    assert readable == ["1.png"]
    reasons = [item.reason for item in rejected]
    assert len(reasons) == 4  # two of the names are one after they are made plain
    assert [reason for reason in reasons if "leads out of" in reason] == reasons[:2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no valid JSON"),
        ("[" * 100_000, "no valid JSON"),
        ("[]", "no COCO annotations"),
        ('{"images": {}}', "no COCO annotations"),
        ('{"images": []}', "no COCO annotations"),
        ('{"images": [{"file_name": "x.png"}, {"id": 3}]}', r"images\[1\] has no file_name"),
        ('{"images": [null]}', r"images\[0\] has no file_name"),
    ],
)
def test_what_is_no_coco(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=rf"a\.json: .*{says}") as caught:
        opened(tmp_path / "a.json")
    assert "\n" not in str(caught.value)
