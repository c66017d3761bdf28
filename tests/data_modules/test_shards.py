"""WebDataset shards: real ones, and hostile ones."""

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from data_modules.images import open_images, scan
from data_modules.shards import unpack_shards


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
    assert len(list((tmp_path / "new").iterdir())) == 3


def test_one_image_a_sample(tmp_path: Path) -> None:
    members = [
        ("a/1.seg.png", b"mask"),
        ("a/1.jpg", b"photo"),
        ("a/1.json", b"{}"),
        ("a/2.png", b"two"),
        ("b/2.png", b"x"),
    ]
    source = unpack_shards(str(write_tar(tmp_path / "x.tar", members)), tmp_path / "spool", None)
    assert [(key, (tmp_path / "spool" / key).read_bytes()) for key in list(source.keys())] == [
        ("a_1.jpg", b"photo"),
        ("a_2.png", b"two"),
        ("b_2.png", b"x"),
    ]


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    names = [
        "../evil.png",
        "/etc/evil.png",
        "a/../../b.png",
        "a\\..\\win.png",
        "C:\\x\\y.png",
        "x\ny.png",
        "ü.png",
        "n" * 90 + ".png",
    ]
    names += ["CON:|*?.png", ("/".join(["d" * 80] * 4)) + "/z.png"]
    folder = tmp_path / "in" / "spool"
    source = unpack_shards(str(write_tar(tmp_path / "x.tar", [(n, image_bytes()) for n in names])), folder, None)
    assert len(source.keys()) == len(names)
    assert sorted(p.name for p in folder.iterdir()) == sorted(source.keys())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "x.tar"]
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["spool"]
    assert all("/" not in key and not key.startswith(".") and key.isprintable() for key in list(source.keys()))


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
    with pytest.raises(ValueError, match=r"bad\.tar: damaged, or no tar archive: .+") as caught:
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
    with pytest.raises(ValueError, match="only local shards"):
        open_images("https://localhost/x.tar", tmp_path / "spool")


def test_pipe(tmp_path: Path) -> None:
    shard = write_tar(tmp_path / "x.tar", [(f"{n}.png", image_bytes() + bytes(100_000)) for n in range(9)])
    assert len(open_images(f"pipe:cat {shard}", tmp_path / "spool").keys()) == 9
    assert len(open_images(f"pipe:cat {shard}", tmp_path / "spool", limit=1).keys()) == 1
    for command in ("cat absent.tar", f"cat {shard}; exit 3"):
        with pytest.raises(ValueError, match="pipe:cat"):
            open_images(f"pipe:{command}", tmp_path / "spool")
