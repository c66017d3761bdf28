"""Rows of several processes: nothing lost, nothing twice, whatever was killed."""

import errno
import json
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_c3l.runs.row_files import Done, RowFiles


def row(number: int, value: object = None) -> dict[str, object]:
    return {"record": number, "turns": value}


def test_rows_of_all_files_in_order_each_once(tmp_path: Path) -> None:
    parts = RowFiles(tmp_path / "parts")
    assert list(parts.rows()) == []
    first, second = parts.writer("rank-0"), parts.writer("rank-0")
    first.append([row(1, "é\u2028\ud800"), row(2)])
    second.append([row(4, "second"), row(5)])
    first.append([row(3), row(4, "first")])
    first.close()
    second.close()
    found = list(parts.rows())
    assert [one["record"] for one in found] == [1, 2, 3, 4, 5]
    assert found[0] == row(1, "é\u2028\ud800")
    assert len(list((tmp_path / "parts").iterdir())) == 2


def test_what_a_killed_process_was_writing_does_not_count(tmp_path: Path) -> None:
    parts = RowFiles(tmp_path)
    writer = parts.writer("rank-0")
    writer.append([row(1), row(2)])
    writer.close()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        complete = whole[:cut].count(b"\n")
        assert [one["record"] for one in parts.rows()] == [1, 2][:complete]
        assert len(parts.done(2)) == complete


def test_a_spoilt_line_does_not_count_and_the_others_do(tmp_path: Path) -> None:
    parts = RowFiles(tmp_path)
    writer = parts.writer("rank-0")
    writer.append([row(1, "one"), row(2, "two"), row(3, "three")])
    writer.close()
    (file,) = tmp_path.iterdir()
    data = file.read_bytes()
    first, second = data.index(b"\n") + 1, data.index(b"\n", data.index(b"\n") + 1)
    for spot in range(first, second):
        for bit in range(8):
            if data[spot] ^ 1 << bit != ord("\n"):
                file.write_bytes(data[:spot] + bytes([data[spot] ^ 1 << bit]) + data[spot + 1 :])
                assert [one["record"] for one in parts.rows()] == [1, 3]
    # a zeroed block takes the lines that it touches
    file.write_bytes(data[:second] + bytes(10) + data[second + 10 :])
    assert [one["record"] for one in parts.rows()] == [1]
    assert list(parts.unordered()) == [row(1, "one")]


def test_lines_are_json_with_their_checksum(tmp_path: Path) -> None:
    parts = RowFiles(tmp_path)
    writer = parts.writer("rank-0")
    odd = row(1, 'a "crc": ')
    writer.append([odd])
    writer.close()
    (file,) = tmp_path.iterdir()
    found = json.loads(file.read_text())
    assert found == {**odd, "crc": f"{zlib.crc32(json.dumps(odd).encode()):08x}"}
    assert list(parts.rows()) == [odd]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RowFiles(tmp_path).writer("rank-0")
    writer.append([row(1)])
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("lightning_c3l.runs.row_files.os.fsync", lambda _: (_ for _ in ()).throw(full))
    with pytest.raises(OSError, match=r"No space left on device: .*rank-0-"):
        writer.sync()


def test_an_empty_file_appears_with_its_first_row(tmp_path: Path) -> None:
    parts = RowFiles(tmp_path / "parts")
    parts.writer("rank-0").close()
    assert not (tmp_path / "parts").exists()


def test_removing_takes_the_manifest_along(tmp_path: Path) -> None:
    parts = RowFiles(tmp_path / "parts")
    parts.writer("rank-0").append([row(1)])
    (tmp_path / "parts" / "manifest.json").write_text("{}")
    parts.remove()
    assert not (tmp_path / "parts").exists()
    parts.remove()


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(1, 70)), st.integers(0, 60))
def test_done_is_a_set_of_the_numbers_up_to_its_end(numbers: set[int], count: int) -> None:
    done = Done(count)
    for number in numbers:
        done.add(number)
    inside = {number for number in numbers if number <= count}
    assert len(done) == len(inside)
    assert {number for number in range(-3, 90) if number in done} == inside


def test_more_files_than_may_be_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning_c3l.runs.row_files._OPEN", 3)
    parts = RowFiles(tmp_path)
    for number in range(1, 12):
        writer = parts.writer("rank-0")
        writer.append([row(number), row(number + 20, "x")])
        writer.close()
    assert [one["record"] for one in parts.rows()] == [*range(1, 12), *range(21, 32)]
    assert len(list(tmp_path.iterdir())) <= 3
    assert [one["record"] for one in parts.rows()] == [*range(1, 12), *range(21, 32)]
