"""Files for images, and never one outside of the folder."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_modules.formats import ImageRef, Inexpressible, image_file, image_root, recorded_root
from data_modules.formats.images import extract_image, image_bytes, image_extension

UNSAFE = [
    "../x.png",
    "/etc/x.png",
    "a/../../x",
    "a\\..\\x",
    "C:x",
    "..",
    ".",
    "a/",
    "a\0b",
    "a\nb",
    "x" * 300,
    "\ud800",
    "//x",
]


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_names(tmp_path: Path, name: str) -> None:
    named = extract_image(ImageRef(name, b"\x89PNG"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == [named.name]
    assert named.name.endswith(".png")


@settings(deadline=None)  # every file is synced to the disk
@given(st.text(max_size=30) | st.text(st.sampled_from("./\\a:~"), max_size=9))
def test_no_name_leads_out(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.mktemp("root")
    folder = root / "a" / "b"
    found = extract_image(ImageRef(name, b"x"), folder)
    files = [path for path in root.rglob("*") if path.is_file()]
    assert len(files) == 1
    assert folder in files[0].resolve().parents
    assert (folder / found.name).read_bytes() == b"x"


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    assert extract_image(ImageRef("./a/b.jpg", b"1"), tmp_path) == ImageRef("./a/b.jpg")
    assert extract_image(ImageRef("a/b.jpg", b"1"), tmp_path) == ImageRef("a/b.jpg")
    others = [
        extract_image(ImageRef(name, data), tmp_path).name for name, data in (("a/b.jpg", b"2"), ("a/b.jpg/c", b"3"))
    ]
    assert (tmp_path / "a" / "b.jpg").read_bytes() == b"1"
    assert [(tmp_path / name).read_bytes() for name in others] == [b"2", b"3"]
    assert extract_image(ImageRef("a/b.jpg", b"2"), tmp_path).name == others[0]
    assert extract_image(ImageRef("a", b"4"), tmp_path).name != "a"  # a folder by now


def test_nameless_images_are_named_by_content(tmp_path: Path) -> None:
    names = {extract_image(ImageRef(name, b"GIF89a"), tmp_path).name for name in ("", "data:image/gif;base64,")}
    assert len(names) == 1
    assert names.pop().endswith(".gif")


def test_what_to_decode(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    assert image_file(ImageRef("a.jpg"), tmp_path) == tmp_path / "a.jpg"
    assert image_file(ImageRef("a.jpg", b"y"), None) == b"y"
    for name in ("b.jpg", "", "a\0b", "x" * 5000):
        with pytest.raises(ValueError, match="is not below"):
            image_file(ImageRef(name), tmp_path)
    with pytest.raises(ValueError, match="not carried"):
        image_file(ImageRef("a.jpg"), None)


def test_only_images_are_packed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"root:x:0:0")
    (tmp_path / "damaged.jpg").write_bytes(b"?")
    (tmp_path / "nameless").write_bytes(b"\x89PNG")
    (tmp_path / "folder.jpg").mkdir()
    with pytest.raises(Inexpressible, match="is not below"):
        image_bytes(ImageRef("folder.jpg"), tmp_path)
    with pytest.raises(Inexpressible, match="no image"):
        image_bytes(ImageRef("secret"), tmp_path)
    assert image_bytes(ImageRef("damaged.jpg"), tmp_path) == b"?"
    assert image_bytes(ImageRef("nameless"), tmp_path) == b"\x89PNG"


def test_where_images_are(tmp_path: Path) -> None:
    source, meta = tmp_path / "a" / "x.json", tmp_path / "a" / "x.meta.json"
    meta.parent.mkdir()
    assert image_root(source) == tmp_path / "a"
    for text in ("[]", "{}", "{", '{"image_root": 5}', json.dumps({"image_root": str(tmp_path / "gone")})):
        meta.write_text(text)
        assert image_root(source) == tmp_path / "a"
    meta.write_text(json.dumps({"image_root": str(tmp_path)}))
    assert image_root(source) == tmp_path
    assert image_root(source, tmp_path / "given") == tmp_path / "given"


def test_a_relative_folder_is_one_beside_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, elsewhere = tmp_path / "a" / "x.json", tmp_path / "b"
    for folder in (source.parent / "images", elsewhere / "images", elsewhere / "old"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    meta = source.with_suffix(".meta.json")
    for named, found in (
        ("images", source.parent / "images"),
        ("../b/images", elsewhere / "images"),
        (".", source.parent),
        # as older versions named it, while they ran in this folder
        ("old", elsewhere / "old"),
        ("gone", source.parent),
    ):
        meta.write_text(json.dumps({"image_root": named}))
        assert image_root(source).samefile(found)
        assert image_root(Path("../a/x.json")).samefile(found)


def test_a_set_names_its_images_so_that_both_can_be_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for root, out, named in (
        ("set/images", "set/x.json", "images"),
        (tmp_path / "set" / "images", "set/x.json", "images"),
        ("set", "set/x.json", "."),
        ("photos", "set/x.json", str(tmp_path / "photos")),
        (".", "set/x.json", str(tmp_path)),
        ("../photos", "x.json", str(tmp_path.parent / "photos")),
    ):
        assert recorded_root(root, out) == named


def test_kinds() -> None:
    starts = {
        b"\x89PNG\r\n": ".png",
        b"\xff\xd8\xff": ".jpg",
        b"RIFF\0\0\0\0WEBP": ".webp",
        b"II*\0": ".tif",
        b"8BPS\0\1": ".psd",
        b"qoif\0": ".qoi",
        b"\0\0\0 ftypavif": ".avif",
        b"\0\0\0\x0cjP  \r\n": ".jp2",
        b"": ".img",
    }
    assert {start: image_extension(start) for start in starts} == starts
