"""Images of data sets that Hugging Face's `save_to_disk` wrote."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from data_modules.images.scanning import scan
from data_modules.images.sources import EncodedImages, open_images

datasets: Any = pytest.importorskip("datasets")


def png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (number, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def save(folder: Path, **columns: list[Any]) -> Path:
    features = {name: datasets.Value("string") if name == "text" else datasets.Image() for name in columns}
    datasets.Dataset.from_dict(columns, datasets.Features(features)).save_to_disk(str(folder))
    return folder


def opened(spec: Path | str, limit: int | None = None) -> EncodedImages:
    return open_images(str(spec), Path("absent-spool"), limit)


def test_bytes_and_paths(tmp_path: Path) -> None:
    images = [{"bytes": png(n), "path": None if n == 2 else f"folder/{n % 4}.png"} for n in range(6)]
    source = opened(save(tmp_path / "set", image=images, text=["x"] * 6))
    # `datasets` keeps no folder of a path
    assert list(source.keys()) == ["0.png", "1.png", "000000002", "3.png", "0-1.png", "1-1.png"]
    assert [source.raw(key) for key in list(source.keys())] == [png(n) for n in range(6)]
    assert source.root is None
    assert scan(source, source.keys()) == (list(source.keys()), [])
    assert list(opened(tmp_path / "set", limit=3).keys()) == ["0.png", "1.png", "000000002"]
    assert len(opened(tmp_path / "set", limit=9).keys()) == 6


def test_files_are_carried_along(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(png(9))
    folder = save(tmp_path / "set", image=[str(tmp_path / "x.png")])
    (tmp_path / "x.png").unlink()
    source = opened(folder)
    assert list(source.keys()) == ["x.png"]
    assert source.raw("x.png") == png(9)


def test_chosen_and_shuffled_rows(tmp_path: Path) -> None:
    save(tmp_path / "all", image=[{"bytes": png(n), "path": f"{n}.png"} for n in range(9)])
    datasets.load_from_disk(str(tmp_path / "all")).select([7, 2, 5]).save_to_disk(str(tmp_path / "some"))
    source = opened(tmp_path / "some")
    assert list(source.keys()) == ["7.png", "2.png", "5.png"]
    assert [source.raw(key) for key in list(source.keys())] == [png(7), png(2), png(5)]


def test_bad_rows_are_rejected(tmp_path: Path) -> None:
    images = [{"bytes": png(1), "path": "a.png"}, None, {"bytes": b"nothing", "path": "c.png"}]
    source = opened(save(tmp_path / "set", image=images))
    readable, rejected = scan(source, source.keys())
    assert readable == ["a.png"]
    assert [(item.key, item.reason) for item in rejected] == [
        ("000000001", "the row has no bytes"),
        ("c.png", "not an image, or of no supported format"),
    ]


def test_columns(tmp_path: Path) -> None:
    two = save(tmp_path / "two", left=[{"bytes": png(1), "path": None}], right=[{"bytes": png(2), "path": None}])
    with pytest.raises(ValueError, match=r"several columns with images; name one as .*two::left"):
        opened(two)
    assert opened(f"{two}::right").raw("000000000") == png(2)
    with pytest.raises(ValueError, match="no column 'x' with images; columns with: left, right"):
        opened(f"{two}::x")
    with pytest.raises(ValueError, match=r"no column of images .*; it has text"):
        opened(save(tmp_path / "text", text=["x"]))


def test_splits_are_named(tmp_path: Path) -> None:
    for split in ("train", "test"):
        save(tmp_path / "set" / split, image=[{"bytes": png(1), "path": None}])
    (tmp_path / "set" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(ValueError, match="several splits; give one of its folders: test, train"):
        opened(tmp_path / "set")
    assert len(opened(tmp_path / "set" / "train").keys()) == 1


def test_a_damaged_set_is_one_line(tmp_path: Path) -> None:
    folder = save(tmp_path / "set", image=[{"bytes": png(1), "path": None}])
    (folder / "state.json").write_text("{")
    with pytest.raises(ValueError, match="set: the saved data set cannot be loaded"):
        opened(folder)


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path / "set", image=[{"bytes": png(1), "path": None}])
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match=r"pip install .*\[datasets\]'"):
        opened(folder)
