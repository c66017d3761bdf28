"""Images in Parquet files."""

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data_modules.formats import ImageRef, Message, Record, WriteOptions, open_writer
from data_modules.images import tables
from data_modules.images.scanning import scan
from data_modules.images.sources import EncodedImages, open_images


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (number, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, rows_a_group: int = 3, **columns: list[Any]) -> str:
    pq.write_table(pa.table(columns), path, row_group_size=rows_a_group)
    return str(path)


def opened(spec: str, limit: int | None = None) -> EncodedImages:
    return open_images(spec, Path("absent-spool"), limit)


def test_structs_with_paths(tmp_path: Path) -> None:
    paths = ["a/1.png", "b/1.PNG", "../x.jpg", None, "no image", "a_1.png", "a/1.png", "/etc/passwd"]
    images = [{"bytes": png(number), "path": path} for number, path in enumerate(paths)]
    source = opened(write(tmp_path / "t.parquet", label=list(range(8)), image=images))
    assert list(source.keys()) == [
        "a_1.png",
        "b_1.png",
        "x.jpg",
        "000000003",
        "000000004",
        "a_1-1.png",
        "a_1-2.png",
        "000000007",
    ]
    assert source.root is None
    order = [*source.keys(), *reversed(list(source.keys()))]
    assert [source.raw(key) for key in order] == [png(n) for n in [*range(8), *reversed(range(8))]]
    assert [source.read(key).getpixel((0, 0)) for key in list(source.keys())] == [(n, 0, 0) for n in range(8)]


def test_plain_bytes_and_several_files(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / f"part-{number}.parquet", 2, jpg=[png(10 * number + row) for row in range(5)], text=["x"] * 5)
    for spec in ("part-{0..2}.parquet", "part-*.parquet"):
        source = opened(f"{tmp_path}/{spec}")
        assert list(source.keys()) == [f"{row:09d}" for row in range(15)]
        assert source.raw("000000007") == png(12)
    limited = opened(f"{tmp_path}/part-*.parquet", limit=6)
    assert list(limited.keys()) == [f"{row:09d}" for row in range(6)]
    assert limited.raw("000000005") == png(10)


def test_rows_without_an_image_are_rejected(tmp_path: Path) -> None:
    images = [
        None,
        {"bytes": None, "path": "x.png"},
        {"bytes": b"", "path": "y.png"},
        {"bytes": png(1), "path": "z.png"},
    ]
    source = opened(write(tmp_path / "t.parquet", image=images))
    readable, rejected = scan(source, source.keys())
    assert readable == ["z.png"]
    assert [(item.key, item.reason) for item in rejected] == [
        ("000000000", "the row has no bytes"),
        ("x.png", "the row has no bytes"),
        ("y.png", "is empty"),
    ]


def test_each_row_group_is_read_once_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(write(tmp_path / "t.parquet", 4, image=[png(n) for n in range(12)]))
    reads = list[int]()
    read = pq.ParquetFile.read_row_group
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda self, n, **k: reads.append(n) or read(self, n, **k))
    for key in list(source.keys()):
        source.raw(key)
    assert reads == [0, 1, 2]


def test_columns(tmp_path: Path) -> None:
    both = write(tmp_path / "both.parquet", left=[png(1)], right=[png(2)], text=["x"])
    with pytest.raises(
        ValueError, match=r"several columns with images; name one as .*both\.parquet::left \(left, right\)"
    ):
        opened(both)
    assert opened(f"{both}::right").raw("000000000") == png(2)
    with pytest.raises(ValueError, match=r"no column 'text' with images; columns with: left, right"):
        opened(f"{both}::text")
    named = write(tmp_path / "named.parquet", thumbnail=[png(1)], image=[png(2)])
    assert opened(named).raw("000000000") == png(2)
    with pytest.raises(ValueError, match=r"no column of images \(bytes or \{bytes, path\}\); it has text"):
        opened(write(tmp_path / "text.parquet", text=["x"]))


def test_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"no such thing" * 9)
    with pytest.raises(ValueError, match=r"x\.parquet: not a readable Parquet file"):
        opened(str(tmp_path / "x.parquet"))
    with pytest.raises(FileNotFoundError):
        opened(str(tmp_path / "absent.parquet"))
    with pytest.raises(ValueError, match=r"empty\.parquet: no row"):
        opened(write(tmp_path / "empty.parquet", image=pa.array([], pa.binary())))


def test_damage_found_late_costs_the_images(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    source = opened(write(path, 2, image=[png(n) for n in range(4)]))
    data = bytearray(path.read_bytes())
    data[4:60] = bytes(56)
    path.write_bytes(data)
    readable, rejected = scan(source, source.keys())
    assert readable == ["000000002", "000000003"]
    assert [item.key for item in rejected] == ["000000000", "000000001"]


def test_row_groups_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.parquet", 100, image=[png(n) for n in range(100)])
    monkeypatch.setattr(tables, "_MOST_BYTES", 1000)
    with pytest.raises(ValueError, match=r"t\.parquet: row group 0 holds .* row_group_size=1000"):
        opened(path)


@pytest.mark.parametrize("rows_a_group", [1, 2, 9])
def test_lists_as_an_embedded_set_has_them(tmp_path: Path, rows_a_group: int) -> None:
    lists = [["a.png", "b.png"], [], None, ["a.png"], [None, "c.png"]]
    images = [one and [{"bytes": png(i), "path": path} for i, path in enumerate(one)] for one in lists]
    kind = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    path = write(tmp_path / "t.parquet", rows_a_group, images=pa.array(images, kind), text=["x"] * 5)
    source = opened(path)
    assert list(source.keys()) == ["a.png", "b.png", "a-1.png", "000000003", "c.png"]
    assert list(map(source.raw, source.keys())) == [png(n) for n in (0, 1, 0, 0, 1)]
    assert list(opened(path, limit=2).keys()) == ["a.png", "b.png"]
    plain = write(tmp_path / "p.parquet", rows_a_group, images=[[png(1)], [], [png(2), png(3)]])
    assert list(map(opened(plain).raw, opened(plain).keys())) == [png(1), png(2), png(3)]


def test_a_set_that_convert_embedded(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(ord(name[0])))
    pictures = (ImageRef("a.png"), ImageRef("b.png"))
    record = Record(pictures, (Message("user", "Which?", (0, 0)), Message("assistant", "b")))
    with open_writer(tmp_path / "x.parquet", WriteOptions(embed=True, image_root=tmp_path)) as writer:
        writer.write(record, 1)
    source = opened(str(tmp_path / "x.parquet"))
    assert {key: source.raw(key) for key in list(source.keys())} == {"a.png": png(97), "b.png": png(98)}
