"""Rows are found again by the number of their item, whichever file they are in."""

from pathlib import Path

import pytest

from lightning_c3l.runs import row_index
from lightning_c3l.runs.row_files import Row, RowFiles
from lightning_c3l.runs.row_index import RowIndex


def item(row: Row) -> int | None:
    return row["item"] if row["item"] < 6 else None


def values(index: RowIndex) -> list[str]:
    return [row["value"] for row in index.rows(range(6))]


@pytest.fixture
def files(tmp_path: Path) -> RowFiles:
    return RowFiles(tmp_path / "parts")


def test_rows_are_read_in_the_order_of_their_items(files: RowFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_index, "_OPEN", 2)
    for name, rows in {"a": [(5, "five"), (0, "zero")], "b": [(2, "é" * 50)], "c": [(4, "four"), (9, "none")]}.items():
        writer = files.writer(name)
        writer.append([{"item": number, "value": value} for number, value in rows])
        writer.close()
    index = RowIndex(files, 6, item)
    assert not index.found.any()
    index.update()
    assert index.found.tolist() == [True, False, True, False, True, True]
    assert values(index) == ["zero", "é" * 50, "four", "five"]
    assert [row["value"] for row in index.rows(range(4, 6))] == ["four", "five"]
    index.close()
    assert values(index) == ["zero", "é" * 50, "four", "five"]


def test_an_update_finds_what_was_appended_since(files: RowFiles) -> None:
    index = RowIndex(files, 6, item)
    index.update()
    first, second = files.writer("a"), files.writer("b")
    first.append([{"item": 1, "value": "one"}])
    second.append([{"item": 2, "value": "two"}])
    index.update(only=second.path)
    assert values(index) == ["two"]
    second.append([{"item": 3, "value": "three"}])
    index.update()
    assert values(index) == ["one", "two", "three"]
    # the last row of an item counts
    second.append([{"item": 1, "value": "again"}])
    index.update()
    assert values(index) == ["again", "two", "three"]


def test_a_line_that_is_being_written_is_found_when_it_is_whole(files: RowFiles) -> None:
    writer = files.writer("a")
    writer.append([{"item": 0, "value": "zero"}, {"item": 1, "value": "one"}])
    writer.close()
    data = writer.path.read_bytes()
    writer.path.write_bytes(data[:-10])
    index = RowIndex(files, 6, item)
    index.update()
    assert values(index) == ["zero"]
    writer.path.write_bytes(data)
    index.update()
    assert values(index) == ["zero", "one"]


def test_damaged_rows_are_no_rows(files: RowFiles) -> None:
    writer = files.writer("a")
    writer.append([{"item": 0, "value": "zero"}, {"item": 1, "value": "one"}])
    writer.close()
    writer.path.write_bytes(writer.path.read_bytes().replace(b"zero", b"nada"))
    index = RowIndex(files, 6, item)
    index.update()
    assert values(index) == ["one"]
    writer.path.write_bytes(writer.path.read_bytes().replace(b"one", b"two"))
    with pytest.raises(OSError, match="has changed while it was read"):
        values(index)
