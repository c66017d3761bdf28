"""Shards of records: written alike, and read whatever is in them."""

import gzip
import json
import os
import pickle
import shlex
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from webdataset.tariterators import tarfile_samples

from data_modules.formats import (
    Entry,
    ImageRef,
    Inexpressible,
    Message,
    Record,
    WriteOptions,
    count_records,
    open_writer,
    read_layout,
    read_records,
)
from data_modules.images.shard_files import open_shard

TURNS = [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]
RECORD = {"conversations": TURNS}
JPEG, PNG = b"\xff\xd8jpeg", b"\x89PNGpng"


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def tar(path: Path, members: list[tuple[str, bytes]], **options: Any) -> Path:
    with tarfile.open(path, "w", **options) as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))
    return path


def entries(source: Path | str) -> list[Entry]:
    found = list(read_records(source))
    assert [entry.number for entry in found] == list(range(1, count_records(source) + 1))
    return found


def images(entry: Entry) -> list[tuple[str, bytes | None]]:
    assert entry.record is not None, entry.reason
    return [(image.name, image.data) for image in entry.record.images]


def write(path: Path, *records: Record, **options: Any) -> Path:
    with open_writer(path, WriteOptions(**options)) as writer:
        for number, record in enumerate(records, start=1):
            writer.write(record, number)
    return path


def asked(*images: ImageRef) -> Record:
    return Record(images, (Message("user", "a", (0,) * len(images)), Message("assistant", "b")))


def test_members_bytes_and_names(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.JPG").write_bytes(JPEG)
    record = asked(
        ImageRef("in/a.JPG"), ImageRef("noext", PNG), ImageRef("http://x/y?z=1", b"RIFF1234WEBP"), ImageRef("odd", b"?")
    )
    write(tmp_path / "x.tar", record, asked(), image_root=tmp_path)
    with tarfile.open(tmp_path / "x.tar") as archive:
        members = archive.getmembers()
    names = [
        "000000001.1.png",
        "000000001.2.webp",
        "000000001.3.img",
        "000000001.jpg",
        "000000001.json",
        "000000002.json",
    ]
    assert [member.name for member in members] == names
    assert {(member.mtime, member.uid, member.gid, member.uname, member.gname) for member in members} == {
        (0, 0, 0, "lightning_c3l", "")
    }
    first, second = entries(tmp_path / "x.tar")
    assert images(first) == [
        ("in/a.JPG", JPEG),
        ("noext", PNG),
        ("http://x/y?z=1", b"RIFF1234WEBP"),
        ("odd", b"?"),
    ]
    assert images(second) == []
    assert read_layout(tmp_path / "x.tar").carries_images
    again = write(tmp_path / "y.tar", record, asked(), image_root=tmp_path)
    assert again.read_bytes() == (tmp_path / "x.tar").read_bytes()


@pytest.mark.parametrize("dialect", ["llava", "messages"])
def test_an_image_that_is_not_there(tmp_path: Path, dialect: str) -> None:
    record = asked(ImageRef("gone.jpg"), ImageRef("here.png", PNG))
    with pytest.raises(Inexpressible, match=r"image gone\.jpg is not below"):
        write(tmp_path / "x.tar", record, dialect=dialect, image_root=tmp_path)
    write(tmp_path / "x.tar", record, dialect=dialect, image_root=tmp_path, lossy=True)
    assert images(entries(tmp_path / "x.tar")[0]) == [("gone.jpg", None), ("here.png", PNG)]


def test_other_peoples_samples(tmp_path: Path) -> None:
    named = json.dumps({"image": "coco/1.jpg", **RECORD}).encode()
    two = json.dumps({"images": ["p", "q"], **RECORD}).encode()
    plain = json.dumps(RECORD).encode()
    members = [
        ("a/1.json", named),
        ("a/1.txt", b"kept"),
        ("a/1.jpg", JPEG),
        ("a/2.left.png", PNG),
        ("a/2.right.jpg", JPEG),
        ("a/2.json", two),
        ("../../3.1.png", PNG),
        ("../../3.0.jpg", JPEG),
        ("../../3.json", plain),
        ("4.json", plain),
        ("5.png", PNG),
        ("6.json", b"{"),
        ("7.json", two),
        ("7.jpg", JPEG),
        ("8.json", named),
        ("8.5.jpg", JPEG),
        ("9.json", plain),
        ("9.json", named),
    ]
    found = entries(tar(tmp_path / "x.tar", members))
    assert images(found[0]) == [("coco/1.jpg", JPEG)]
    assert images(found[1]) == [("p", PNG), ("q", JPEG)]
    assert images(found[2]) == [("3.0.jpg", JPEG), ("3.1.png", PNG)]
    assert images(found[3]) == []
    assert "no .json" in found[4].reason
    assert "no valid JSON" in found[5].reason
    assert images(found[6]) == [("p", JPEG), ("q", None)]
    assert images(found[7]) == [("coco/1.jpg", JPEG)]
    assert [images(one) for one in found[8:]] == [[], [("coco/1.jpg", None)]]


def test_more_files_than_images_is_broken(tmp_path: Path) -> None:
    named = json.dumps({"image": "a.jpg", **RECORD}).encode()
    (entry,) = entries(tar(tmp_path / "x.tar", [("1.json", named), ("1.jpg", JPEG), ("1.1.jpg", JPEG)]))
    assert entry.reason == "sample '1': names 1 images, and 2 files are beside it"


def test_ranges_gzip_and_commands(tmp_path: Path) -> None:
    for number in range(3):
        members = [(f"{number}-{sample}.json", json.dumps(RECORD).encode()) for sample in range(2)]
        tar(tmp_path / f"x-{number}.tar", members)
    assert len(entries(f"{tmp_path}/x-{{0..2}}.tar")) == 6
    packed = tmp_path / "x.tgz"
    packed.write_bytes(gzip.compress((tmp_path / "x-1.tar").read_bytes()))
    assert len(entries(packed)) == 2
    assert len(entries(f"pipe:cat {shlex.quote(str(tmp_path / 'x-2.tar'))}")) == 2


def test_a_command_that_fails_is_told_after_all_that_it_wrote(tmp_path: Path) -> None:
    shard = tar(tmp_path / "x.tar", [(f"{sample}.json", json.dumps(RECORD).encode()) for sample in range(2)])
    found = list[Entry]()
    with pytest.raises(ValueError, match=r"cat .*; exit 3: the command failed with exit status 3$"):
        found.extend(read_records(f"pipe:cat {shlex.quote(str(shard))}; exit 3"))
    assert len(found) == 2
    with pytest.raises(ValueError, match=r"no tar archive: empty file; the command ended with exit status 22$"):
        entries("pipe:exit 22")


def test_what_a_command_wrote_is_read_when_it_has_ended_already() -> None:
    found = list[bytes]()

    def read_after_the_end() -> None:
        with open_shard("pipe:printf bytes; exit 3", is_pipe=True) as stream:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
            found.append(stream.read())

    with pytest.raises(ValueError, match="exit status 3"):
        read_after_the_end()
    assert found == [b"bytes"]


def test_damage_is_reported_after_what_was_whole(tmp_path: Path) -> None:
    members = [(f"{number}.json", json.dumps(RECORD).encode()) for number in range(4)]
    whole = tar(tmp_path / "x.tar", members).read_bytes()
    broken = bytearray(whole)
    broken[2048:2056] = b"\xff" * 8  # the third header
    packed = gzip.compress(whole)
    cases = {
        "cut.tar": whole[:2600],
        "header.tar": bytes(broken),
        "cut.tgz": packed[:-4],
        "sum.tgz": packed[:-8] + b"x" * 8,
    }
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        found = entries(tmp_path / name)
        assert [entry.record is not None for entry in found[:2]] == [True, True], name
        assert "damaged, the rest" in found[-1].reason, name
    (tmp_path / "no.tar").write_bytes(b"hello" * 1000)
    with pytest.raises(ValueError, match=r"no\.tar: damaged, or no tar"):
        entries(tmp_path / "no.tar")
    with pytest.raises(ValueError, match=r"absent\.tar: cannot be opened"):
        entries(tmp_path / "absent.tar")


def test_links_are_no_members(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.CHRTYPE):
            member = tarfile.TarInfo("1.json")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    assert entries(tmp_path / "x.tar") == []


def test_real_shards_hold_no_records(shared_data: Path) -> None:
    folder = shared_data / "webdataset-shards"
    found = entries(folder / "sample.tgz")
    with tarfile.open(folder / "sample.tgz") as archive:
        keys = {member.name.split(".")[0] for member in archive if member.isfile()}
    assert {entry.reason.split(" (")[0] for entry in found} == {f"sample '{key}': has no .json" for key in keys}
    assert len(found) == len(keys)


def test_key_and_small_members_are_fields(tmp_path: Path) -> None:
    large = b"x" * ((1 << 20) + 1)
    members = [
        ("site-A/cam3/000417.jpg", JPEG),
        ("site-A/cam3/000417.json", json.dumps(RECORD).encode()),
        ("site-A/cam3/000417.txt", "a caption\n\u00fc".encode()),
        ("site-A/cam3/000417.cls", b"7"),
        ("site-A/cam3/000417.pose.npy", b"\x93NUMPY\xff"),
        ("site-A/cam3/000417.log", large),
    ]
    (entry,) = entries(tar(tmp_path / "x.tar", members))
    assert images(entry) == [("site-A/cam3/000417.jpg", JPEG)]
    assert entry.record is not None
    fields = {"txt": "a caption\n\u00fc", "cls": "7", "pose.npy": None, "log": None}
    assert entry.record.extra == {"__key__": "site-A/cam3/000417", "__members__": fields}
    # there and back they are the record's own, and what a record has not had does not appear
    write(tmp_path / "y.tar", entry.record, asked())
    first, second = entries(tmp_path / "y.tar")
    assert first.record is not None
    assert (first.record.extra, images(first)[0][1]) == (entry.record.extra, JPEG)
    assert second.record == asked()


@pytest.mark.parametrize(
    ("name", "kind"), [("1.mp4", "video"), ("1.0.WAV", "audio"), ("1.heic", "images of this kind")]
)
def test_media_that_nobody_sees_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    (entry,) = entries(tar(tmp_path / "x.tar", [("1.json", json.dumps(RECORD).encode()), (name, b"?")]))
    assert entry.reason == f"sample '1': {name!r}: {kind} not supported, only text and images"


def test_members_that_are_not_adjacent(tmp_path: Path) -> None:
    shown = json.dumps({"conversations": [{"from": "human", "value": "<image>a"}, TURNS[1]]}).encode()
    jsons = [("a.json", shown), ("b.json", json.dumps(RECORD).encode())]
    images = [("a.jpg", JPEG), ("b.jpg", JPEG)]
    found = entries(tar(tmp_path / "x.tar", [*images, *jsons]))
    assert [entry.record for entry in found] == [None] * 4  # none is read as a text
    assert "sample 'a': has no .json (members of one sample must stand next to each other" in found[0].reason
    assert "sample 'b': its .json stands apart from its other members" in found[3].reason
    # whoever reads a part of the records finds the same
    assert [entry.reason for entry in read_records(tmp_path / "x.tar", lambda number: number == 4)] == [found[3].reason]
    found = entries(tar(tmp_path / "y.tar", [*jsons, *images]))
    assert "sample 'a': has <image> but no 'image' (members of one sample must stand" in found[0].reason
    assert "sample 'a': has no .json (members of one sample must stand" in found[2].reason


def test_a_shard_holds_what_webdatasets_own_reader_sees(tmp_path: Path) -> None:
    path = write(tmp_path / "x.tar", asked(ImageRef("a.jpg", JPEG), ImageRef("b.png", PNG)), asked())
    first, second = tarfile_samples([{"url": str(path)}])
    assert (first["__key__"], first["jpg"], first["1.png"]) == ("000000001", JPEG, PNG)
    assert json.loads(first["json"])["image"] == ["a.jpg", "b.png"]
    assert sorted(name for name in second if not name.startswith("__")) == ["json"]


def test_what_webdataset_would_unpickle_is_a_field(tmp_path: Path) -> None:
    """Members that webdataset's default decoders load as pickles, NumPy arrays or tensors are never decoded."""
    marker = tmp_path / "ran"
    payload = pickle.dumps(Payload(str(marker)))
    names = ("pyd", "pickle", "pkl", "pth", "npy", "npz", "pt")
    members = [("1.json", json.dumps(RECORD).encode()), *((f"1.{name}", payload) for name in names)]
    (entry,) = entries(tar(tmp_path / "x.tar", members))
    assert entry.record is not None
    assert set(entry.record.extra["__members__"]) == set(names)
    assert not marker.exists()
