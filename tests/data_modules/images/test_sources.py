"""Folders, globs, the look of a source's name, and the list of what was rejected."""

import json
import os
import struct
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_modules.images.folders import EXTENSIONS, FolderImages
from data_modules.images.scanning import RejectedList, scan, write_rejected
from data_modules.images.sources import EncodedImages, open_images
from data_modules.loading.decoding import FORMATS, UnreadableImage, decode_rgb
from lightning_c3l.records import RejectedImage
from lightning_c3l.rounds.protocols import ImageSource


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (3, 2), "red").save(root / name)


def test_endings_are_those_that_pillow_knows_for_what_is_decoded() -> None:
    Image.init()
    known = {ending for ending, name in Image.registered_extensions().items() if name in FORMATS or name == "MPO"}
    assert set(EXTENSIONS) == known
    assert not {".eps", ".pdf", ".ico", ".tga"} & known


def test_a_folder_of_all_of_them(tmp_path: Path) -> None:
    red, second = Image.new("RGB", (8, 6), "red"), Image.new("RGB", (8, 6), "blue")
    for name in ("a.J2K", "b.jfif", "c.jpe", "e.pcx", "f.pnm", "g.qoi", "h.sgi", "i.apng", "j.jp2", "k.dib"):
        red.save(tmp_path / name)
    red.save(tmp_path / "d.mpo", save_all=True, append_images=[second])
    red.convert("F").save(tmp_path / "l.pfm")
    # Pillow writes no PSD: its header, no palette, no resources, no layers, three raw planes
    planes = b"\0\0" + b"\xff" * 48 + b"\0" * 96
    (tmp_path / "m.psd").write_bytes(b"8BPS" + struct.pack(">H6xHIIHHIII", 1, 3, 6, 8, 8, 3, 0, 0, 0) + planes)
    for name in ("x.heic", "y.HEIC", "z.txt", "Makefile", ".hidden.heic"):
        (tmp_path / name).write_bytes(b"?")
    source = open_images(str(tmp_path), tmp_path / "spool")
    readable, rejected = scan(source, source.keys())
    assert ("".join(key[0] for key in readable), rejected) == ("abcdefghijklm", [])
    for key in readable[:-2] + readable[-1:]:
        r, g, b = source.read(key).getpixel((4, 3))  # type: ignore[misc]
        assert r > 250 > 5 >= g, key
        assert b <= 5, key
    assert source.passed_over == "2 .heic, 1 without an ending, 1 .txt"


def test_what_is_passed_over_is_named_where_nothing_else_is_there(tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number}.heic").write_bytes(b"?")
    with pytest.raises(ValueError, match=r"no image \(.*\), only 12 \.heic; check"):
        FolderImages(tmp_path)


def test_folder_is_recursive_sorted_and_filtered(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a/ü ber.JPG", "a/x [1].png", "Z.jpeg", ".hidden/c.png", "._b.png")
    (tmp_path / "notes.txt").write_text("x")
    source: ImageSource = open_images(str(tmp_path), tmp_path / "spool")
    assert list(source.keys()) == ["Z.jpeg", "a/x [1].png", "a/ü ber.JPG", "b.png"]
    assert source.root == tmp_path
    assert source.read("a/ü ber.JPG").size == (3, 2)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**/*.png", ["a/b/deep.png", "a/mid.png", "top.png"]),
        ("*.png", ["top.png"]),
        ("a/*.png", ["a/mid.png"]),
        ("*/mid.*", ["a/mid.jpg", "a/mid.png"]),
        ("**/[!t]*.png", ["a/b/deep.png", "a/mid.png"]),
        ("a/m?d.[jp]*g", ["a/mid.jpg", "a/mid.png"]),
        ("a/**", ["a/b/deep.png", "a/mid.jpg", "a/mid.png"]),
    ],
)
def test_glob(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    make(tmp_path, "top.png", "a/mid.png", "a/mid.jpg", "a/b/deep.png")
    source = FolderImages(f"{tmp_path}/{pattern}")
    fixed = "a" if pattern.startswith("a/") else "."
    assert source.root == tmp_path / fixed
    assert [(Path(fixed) / key).as_posix() for key in list(source.keys())] == expected


def test_a_folder_with_wildcards_in_its_name(tmp_path: Path) -> None:
    make(tmp_path / "photos [2020]*", "x.png")
    assert list(FolderImages(tmp_path / "photos [2020]*").keys()) == ["x.png"]


def test_link_loops_end_and_linked_folders_are_read_once(tmp_path: Path) -> None:
    make(tmp_path / "root", "a/x.png")
    make(tmp_path / "other", "y.png")
    (tmp_path / "root/a/up").symlink_to(tmp_path / "root")
    (tmp_path / "root/linked").symlink_to(tmp_path / "other")
    (tmp_path / "root/again").symlink_to(tmp_path / "other")
    (tmp_path / "root/nowhere.png").symlink_to(tmp_path / "absent.png")
    source = EncodedImages(FolderImages(tmp_path / "root"))
    assert list(source.keys()) == ["a/x.png", "again/y.png", "nowhere.png"]
    assert scan(source, source.keys())[1] == [RejectedImage("nowhere.png", "no such file")]


def test_limit(tmp_path: Path) -> None:
    make(tmp_path, "c.png", "a.png", "b.png")
    assert list(FolderImages(tmp_path, limit=2).keys()) == ["a.png", "b.png"]
    with pytest.raises(ValueError, match="limit must be at least 1"):
        open_images(str(tmp_path), tmp_path / "spool", limit=0)


@pytest.mark.parametrize(
    ("spec", "says"),
    [("absent", "no such folder"), ("empty", "no image"), ("empty/*.png", "nothing matches")],
)
def test_nothing_there_is_one_clear_line(tmp_path: Path, spec: str, says: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=says) as caught:
        open_images(str(tmp_path / spec), tmp_path / "spool")
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_single_file_is_no_source(tmp_path: Path) -> None:
    make(tmp_path, "x.png")
    with pytest.raises(ValueError, match=r"x\.png: is a single file"):
        open_images(str(tmp_path / "x.png"), tmp_path / "spool")
    with pytest.raises(ValueError, match="no folder"):
        open_images("", tmp_path / "spool")


def test_a_folder_named_like_a_shard_is_a_folder(tmp_path: Path) -> None:
    make(tmp_path / "x.tar", "a.png")
    assert list(open_images(str(tmp_path / "x.tar"), tmp_path / "spool").keys()) == ["a.png"]


def test_names_that_are_no_text_are_rejected_and_can_still_be_listed(tmp_path: Path) -> None:
    make(tmp_path, "good.png")
    os.rename(os.fsencode(tmp_path / "good.png"), os.fsencode(tmp_path) + b"/\xff.png")
    source = EncodedImages(FolderImages(tmp_path))
    readable, rejected = scan(source, source.keys())
    assert readable == []
    write_rejected(tmp_path / "rejected.jsonl", rejected)
    line = json.loads((tmp_path / "rejected.jsonl").read_text())
    assert line == {"key": "\udcff.png", "reason": "the file's name is no valid UTF-8"}


def test_scan_and_rejected_file(tmp_path: Path, shared_data: Path) -> None:
    source = open_images(f"{shared_data}/bad-images/*.*", tmp_path / "spool")
    readable, rejected = scan(source, source.keys())
    # as in test_decoding, but one refused image has no dot in its name, and SOURCE.txt has one
    assert (len(readable), len(rejected)) == (60, 27)
    write_rejected(tmp_path / "out" / "rejected.jsonl", rejected)
    lines = (tmp_path / "out" / "rejected.jsonl").read_text().splitlines()
    assert [RejectedImage(**json.loads(line)) for line in lines] == rejected
    assert os.listdir(tmp_path / "out") == ["rejected.jsonl"]


@pytest.mark.parametrize("name", ["x.png", "a.json::b", "a::b.tar", "::", "set::column"])
def test_folders_may_have_any_name(tmp_path: Path, name: str) -> None:
    make(tmp_path / name, "a.png")
    assert list(open_images(str(tmp_path / name), tmp_path / "spool").keys()) == ["a.png"]


def test_every_source_hands_out_the_same_file(tmp_path: Path, shared_data: Path) -> None:
    photograph = (shared_data / "bad-images" / "hopper_gray.jpg").read_bytes()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "x.jpg").write_bytes(photograph)
    (tmp_path / "list.txt").write_text("in/x.jpg")
    (tmp_path / "a.json").write_text(json.dumps({"images": [{"file_name": "in/x.jpg"}]}))
    pq.write_table(pa.table({"image": [{"bytes": photograph, "path": "in/x.jpg"}]}), tmp_path / "x.parquet")
    for mode, name in (("w", "x.tar"), ("w:gz", "x.tgz")):
        with tarfile.open(tmp_path / name, mode) as tar:
            tar.add(tmp_path / "in" / "x.jpg", "in/x.jpg")
    expected = decode_rgb(photograph, longest_side=50).tobytes()
    specs = ["in", "in/*.jpg", "list.txt", "a.json", "x.parquet", "x.tar", "x.tgz"]
    for spec in [f"{tmp_path}/{spec}" for spec in specs] + [f"pipe:cat {tmp_path}/x.tar"]:
        source = open_images(spec, tmp_path / "spool", longest_side=50)
        (key,) = source.keys()
        raw = source.raw(key)
        assert (raw.read_bytes() if isinstance(raw, Path) else raw) == photograph
        assert source.read(key).tobytes() == expected
        assert scan(source, source.keys()) == ([key], [])


def test_scan_of_drawn_pictures() -> None:
    class Drawn:
        root = None

        def keys(self) -> list[str]:
            return ["good", "bad"]

        def read(self, key: str) -> Image.Image:
            if key == "bad":
                raise UnreadableImage("cannot be drawn")
            return Image.new("RGB", (1, 1))

    assert scan(Drawn(), ["bad", "good"]) == (["good"], [RejectedImage("bad", "cannot be drawn")])


def test_many_may_add_to_one_list(tmp_path: Path) -> None:
    path = tmp_path / "run" / "rejected.jsonl"
    items = [RejectedImage(f"record {number}", 'a "reason"') for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        lists = [RejectedList(path) for _ in range(3)]
        added = list(pool.map(lambda one: lists[hash(one) % 3].add([one]), [*items, *items]))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sum(added) == len(lines) == 40
    assert {line["key"] for line in lines} == {one.key for one in items}
    # a line that was cut off is one of its own
    path.write_text(path.read_text().strip()[:-5])
    assert RejectedList(path).add([*items[:2], RejectedImage("new", "x")]) in (1, 2)
    assert json.loads(path.read_text().splitlines()[-1])["key"] == "new"


def test_a_list_reads_only_what_others_have_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rejected.jsonl"
    one, other = RejectedList(path), RejectedList(path)
    items = [RejectedImage(f"record {number}", "x") for number in range(300)]
    assert [one.add([item]) for item in items[:200]] == [1] * 200
    assert other.add(items) == 100
    parsed = list[str]()
    monkeypatch.setattr("data_modules.images.scanning.loads", lambda line: parsed.append(line) or json.loads(line))
    assert one.add(items[190:]) == 0
    assert one.add([RejectedImage("new", "x")]) == 1
    assert len(parsed) == 100
    # written anew by another start of the run
    path.write_text("")
    assert one.add(items[:1]) == 1
