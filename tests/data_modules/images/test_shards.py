"""WebDataset shards: real ones, and hostile ones."""

import gzip
import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_modules.images.folders import EXTENSIONS
from data_modules.images.scanning import scan
from data_modules.images.shards import open_shards
from data_modules.images.sources import open_images


def image_bytes(color: str = "red", name: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), color).save(buffer, name)
    return buffer.getvalue()


def write_tar(path: Path, members: list[tuple[str, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # the mode is not a literal here
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def test_real_shard(shared_data: Path, tmp_path: Path) -> None:
    shard = shared_data / "webdataset-shards" / "sample.tgz"
    source = open_images(str(shard), tmp_path / "spool")
    with tarfile.open(shard) as tar:
        originals = {m.name: tar.extractfile(m).read() for m in tar if m.name.endswith(".png")}  # type: ignore[union-attr]
    assert len(originals) == 90
    assert list(source.keys()) == list(originals)
    assert all((tmp_path / "spool" / name).read_bytes() == data for name, data in originals.items())
    assert all(source.raw(name) == tmp_path / "spool" / name for name in originals)
    readable, rejected = scan(source, source.keys())
    assert (len(readable), rejected) == (90, [])


@pytest.mark.parametrize("name", ["compressed.tar", "tendata.tar"])
def test_real_shards_without_images(shared_data: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: no image in 1 shard"):
        open_images(str(shared_data / "webdataset-shards" / name), tmp_path / "spool")


def test_braces_wildcards_limit_and_collisions(tmp_path: Path) -> None:
    for number in range(3):
        write_tar(tmp_path / f"s{number}.tar", [("same.jpg", image_bytes()), (f"own{number}.JPG", image_bytes())])
    expected = ["same.jpg", "own0.jpg", "same-1.jpg", "own1.jpg", "same-2.jpg", "own2.jpg"]
    for spec in ("s{0..2}.tar", "s*.tar"):
        assert list(open_images(f"{tmp_path}/{spec}", tmp_path / "spool").keys()) == expected
    assert list(open_images(f"{tmp_path}/s{{0..2}}.tar", tmp_path / "new", limit=3).keys()) == expected[:3]
    shutil.copy(
        write_tar(tmp_path / "packed", [(f"{n}.png", image_bytes()) for n in range(5)], "w:gz"), tmp_path / "c.tgz"
    )
    assert len(open_images(f"{tmp_path}/c.tgz", tmp_path / "new", limit=3).keys()) == 3
    assert len(list((tmp_path / "new").iterdir())) == 3


def test_what_is_passed_over_is_counted(tmp_path: Path) -> None:
    members = [("1.j2k", image_bytes(name="JPEG2000")), ("1.json", b"{}"), ("2.HEIC", b"?"), ("3.heic", b"?")]
    shard = write_tar(tmp_path / "x.tar", members)
    source = open_images(str(shard), tmp_path / "spool")
    assert list(source.keys()) == ["1.j2k"]
    assert source.passed_over == "2 .heic, 1 .json"
    with pytest.raises(ValueError, match=r"no image in 1 shard\(s\), only 2 \.heic; members must end in"):
        open_shards(str(write_tar(tmp_path / "y.tar", members[2:])), tmp_path / "spool")


def test_one_image_a_sample(tmp_path: Path) -> None:
    members = [
        ("a/1.seg.png", b"mask"),
        ("a/1.jpg", b"photo"),
        ("a/1.json", b"{}"),
        ("a/2.png", b"two"),
        ("b/2.png", b"x"),
    ]
    source = open_shards(str(write_tar(tmp_path / "x.tar", members)), tmp_path / "spool")
    assert [(key, source.raw(key)) for key in list(source.keys())] == [
        ("a_1.jpg", b"photo"),
        ("a_2.png", b"two"),
        ("b_2.png", b"x"),
    ]


HOSTILE = [
    "../evil.png",
    "/etc/evil.png",
    "a/../../b.png",
    "a\\..\\win.png",
    "C:\\x\\y.png",
    "x\ny.png",
    "ü.png",
    "n" * 90 + ".png",
    "n" * 300 + ".png",
    "CON:|*?.png",
    ("/".join(["d" * 80] * 4)) + "/z.png",
    "twice.png",
    "twice.png",
    "Twice.PNG",
    "twice-1.png",
]


def assert_plain(keys: Sequence[str]) -> None:
    """Each could be a file in any one folder of any file system, all of them at once."""
    assert len({key.lower() for key in keys}) == len(keys)
    for key in keys:
        assert key.isprintable()
        assert not set(key) & set('/\\:*?"<>|')
        assert not key.startswith(".")
        assert 0 < len(key.encode()) <= 255


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_nothing_is_written_outside(tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "in" / "spool"
    pictures = [(name, image_bytes(f"#{number:06x}")) for number, name in enumerate(HOSTILE)]
    source = open_images(str(write_tar(tmp_path / "x.tar", pictures, mode)), folder)
    keys = source.keys()
    assert_plain(keys)
    assert [content(source.raw(key)) for key in keys] == [data for _, data in pictures]
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    # a plain archive is read where it lies
    assert written == {"x.tar", *(f"in/spool/{key}" for key in keys if mode == "w:gz")}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40), max_size=8))
def test_any_names_become_plain_ones(names: list[str]) -> None:
    # distinct samples, so that no image is passed over for its neighbour
    members = [(f"{number}{name}/{name}.png", f"{number}".encode()) for number, name in enumerate(names)]
    with tempfile.TemporaryDirectory() as folder:
        source = open_shards(
            str(write_tar(Path(folder) / "x.tar", [*members, ("last.png", b"last")])), Path(folder) / "s"
        )
        keys = source.keys()
        found = [source.raw(key) for key in keys]
    assert_plain(keys)
    assert set(found) <= {data for _, data in [*members, ("", b"last")]}
    assert found == sorted(found)
    # a hidden name belongs to no sample
    assert {data for name, data in members if not name.rpartition("/")[2].startswith(".")} <= set(found)


def content(raw: bytes | Path) -> bytes:
    return raw.read_bytes() if isinstance(raw, Path) else raw


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_devices_and_sparse_members_are_no_images(tmp_path: Path, mode: str) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(image_bytes())
    shard = tmp_path / "x.tar"
    with tarfile.open(shard, mode, format=tarfile.GNU_FORMAT) as tar:  # type: ignore[call-overload]
        tar.addfile(special("1.png", tarfile.SYMTYPE, str(secret)))
        tar.addfile(special("2.png", tarfile.LNKTYPE, str(secret)))
        tar.addfile(special("3.png", tarfile.CHRTYPE))
        tar.addfile(special("4.png", tarfile.FIFOTYPE))
        tar.addfile(special("5.png", tarfile.DIRTYPE))
        # GNU's sparse kind: no byte is stored, and a terabyte is said to be there
        sparse = bytearray(special("6.png", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
        sparse[483:495] = tarfile.itn(2**40, 12, tarfile.GNU_FORMAT)  # type: ignore[attr-defined]
        sparse[148:156] = b"%06o\0 " % (256 + sum(sparse[:148]) + sum(sparse[156:512]))
        tar.fileobj.write(sparse)  # type: ignore[union-attr]
        tar.offset += len(sparse)  # type: ignore[attr-defined]
        info = tarfile.TarInfo("7.png")
        info.size = 5
        tar.addfile(info, io.BytesIO(b"image"))
    source = open_images(str(shard), tmp_path / "spool")
    assert [(key, content(source.raw(key))) for key in list(source.keys())] == [("7.png", b"image")]


def test_plain_and_compressed_shards_together(tmp_path: Path) -> None:
    write_tar(tmp_path / "s0.tar", [("a.png", b"0a"), ("b.png", b"0b")])
    write_tar(tmp_path / "s1.tar", [("a.png", b"1a")], "w:gz")
    write_tar(tmp_path / "s2.tar", [("a.png", b"2a")])
    source = open_images(f"{tmp_path}/s{{0..2}}.tar", tmp_path / "spool")
    assert [content(source.raw(key)) for key in list(source.keys())] == [b"0a", b"0b", b"1a", b"2a"]
    assert [path.name for path in (tmp_path / "spool").iterdir()] == ["a-1.png"]
    assert source.root is None


@pytest.mark.parametrize("change", ["gone", "shorter"])
def test_a_shard_that_changes_later_costs_its_images_only(tmp_path: Path, change: str) -> None:
    for number in range(2):
        write_tar(tmp_path / f"s{number}.tar", [("a.png", image_bytes())])
    source = open_images(f"{tmp_path}/s{{0..1}}.tar", tmp_path / "spool")
    if change == "gone":
        (tmp_path / "s0.tar").unlink()
    else:
        os.truncate(tmp_path / "s0.tar", 550)
    readable, rejected = scan(source, source.keys())
    assert (readable, [item.key for item in rejected]) == (["a-1.png"], ["a.png"])
    assert "s0.tar" in rejected[0].reason


def test_every_image_of_all_real_shards(shared_data: Path, tmp_path: Path) -> None:
    members = dict[str, int]()
    for shard in sorted((shared_data / "webdataset-shards").glob("*.t*")):
        if shard.suffix == ".txt":
            continue
        listed = subprocess.run(["tar", "tf", shard], check=True, capture_output=True, text=True).stdout.split("\n")
        members[shard.name] = sum(name.endswith(EXTENSIONS) for name in listed)
    assert members == {"compressed.tar": 0, "sample.tgz": 90, "tendata.tar": 0}
    source = open_images(
        f"{shared_data}/webdataset-shards/{{compressed.tar,sample.tgz,tendata.tar}}", tmp_path / "spool"
    )
    readable, rejected = scan(source, source.keys())
    assert (len(source.keys()), len(readable), rejected) == (90, 90, [])


def test_a_size_below_zero_does_not_go_round_for_ever(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("1.txt").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = tarfile.itn(-512, 12, tarfile.GNU_FORMAT)  # type: ignore[attr-defined]
    header[148:156] = b"%06o\0 " % (256 + sum(header[:148]) + sum(header[156:512]))
    (tmp_path / "x.tar").write_bytes(bytes(header) + bytes(2048))
    with pytest.raises(ValueError, match=r"x\.tar: damaged"):
        open_images(str(tmp_path / "x.tar"), tmp_path / "spool")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_bytes_are_one_error_or_none(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shard = write_tar(Path(folder) / "x.tar", [(f"{n}.png", bytes([n]) * 700) for n in range(3)])
        changed = bytearray(shard.read_bytes())
        for _ in range(data.draw(st.integers(1, 4))):
            # headers are what matters: 512 bytes each, in front of two blocks of data
            changed[data.draw(st.integers(0, 2)) * 1536 + data.draw(st.integers(0, 511))] = data.draw(
                st.integers(0, 255)
            )
        shard.write_bytes(changed)
        try:
            source = open_shards(str(shard), Path(folder) / "spool")
        except ValueError:
            return
        assert all(len(source.raw(key)) <= len(changed) for key in list(source.keys()))  # type: ignore[arg-type]


def test_damaged_member_is_listed_and_rejected(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", [("1.png", image_bytes()), ("2.png", b"not an image")])
    source = open_images(str(shard), tmp_path / "spool")
    readable, rejected = scan(source, source.keys())
    assert readable == ["1.png"]
    assert [item.key for item in rejected] == ["2.png"]


def damage(shard: Path, how: str) -> Path:
    data = bytearray(shard.read_bytes())
    second = data.find(b"2.png\0")
    if how == "cut in the data":
        del data[second + 600 :]
    elif how == "cut in a header":
        del data[second + 100 :]
    elif how == "broken header":
        data[second + 100 : second + 200] = b"\xff" * 100
    elif how == "no archive":
        data[:] = b"hello world" * 100
    elif how == "empty":
        data.clear()
    shard.write_bytes(data)
    return shard


@pytest.mark.parametrize("how", ["cut in the data", "cut in a header", "broken header", "no archive", "empty"])
def test_damaged_shard_is_one_line_with_its_name(tmp_path: Path, how: str) -> None:
    members = [(f"{number}.png", bytes(2000)) for number in range(4)]
    shard = damage(write_tar(tmp_path / "bad.tar", members), how)
    with pytest.raises(ValueError, match=r"bad\.tar: damaged, or not a tar archive: .+") as caught:
        open_images(str(shard), tmp_path / "spool")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["cut", "checksum"])
def test_damaged_gzip(tmp_path: Path, change: str) -> None:
    data = bytearray(gzip.compress(write_tar(tmp_path / "x.tar", [("1.png", image_bytes())]).read_bytes()))
    if change == "cut":
        del data[-20:]
    else:
        data[-8] ^= 1
    (tmp_path / "bad.tar.gz").write_bytes(data)
    with pytest.raises(ValueError, match=r"bad\.tar\.gz: damaged"):
        open_images(str(tmp_path / "bad.tar.gz"), tmp_path / "spool")


@pytest.mark.parametrize(
    ("mode", "name"), [("w:gz", "x.tgz"), ("w:gz", "x.tar"), ("w:xz", "x.tar"), ("w:bz2", "x.tar")]
)
def test_compression_is_seen_whatever_the_name(tmp_path: Path, mode: str, name: str) -> None:
    shard = write_tar(tmp_path / name, [("1.png", image_bytes())], mode)
    assert list(open_images(str(shard), tmp_path / "spool").keys()) == ["1.png"]


def test_missing_shard(tmp_path: Path) -> None:
    write_tar(tmp_path / "s0.tar", [("1.png", image_bytes())])
    with pytest.raises(ValueError, match=r"s1\.tar: cannot be opened: no such file"):
        open_images(f"{tmp_path}/s{{0..1}}.tar", tmp_path / "spool")
    with pytest.raises(ValueError, match="braces look like"):
        open_images(f"{tmp_path}/s{{0.tar", tmp_path / "spool")


def test_commands_run_only_where_the_text_starts_with_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for spec in (
        "{x,pipe:touch ran}.tar",
        " pipe:touch ran; cat x.tar",
        "./pipe:touch ran.tar",
        "a.tar::pipe:touch ran #.tar",
    ):
        with pytest.raises(ValueError):
            open_images(spec, tmp_path / "spool")
    Path("pipe:touch ran").mkdir()
    write_tar(Path("pipe:touch ran/x.tar"), [("1.png", image_bytes())])
    assert list(open_images("./pipe:touch ran/x.tar", tmp_path / "spool").keys()) == ["1.png"]
    assert not Path("ran").exists()


def test_other_schemes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only local files"):
        open_images("https://localhost/x.tar", tmp_path / "spool")


def test_pipe(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", [(f"{n}.png", image_bytes() + bytes(100_000)) for n in range(9)])
    assert len(open_images(f"pipe:cat {shard}", tmp_path / "spool").keys()) == 9
    assert len(open_images(f"pipe:cat {shard}", tmp_path / "spool", limit=1).keys()) == 1
    for command in ("cat absent.tar", f"cat {shard}; exit 3"):
        with pytest.raises(ValueError, match="pipe:cat"):
            open_images(f"pipe:{command}", tmp_path / "spool")
