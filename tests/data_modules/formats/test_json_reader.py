"""JSON files: what is read, what is reported, and how little memory it takes."""

import json
import re
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.formats import count_records, json_reader, open_writer, read_records
from tests.data_modules.formats.made_records import JSON, strict

RECORD = {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}
GOOD = json.dumps(RECORD)


def reasons(path: Path) -> list[str]:
    """An empty text for each record that is read."""
    entries = list(read_records(path))
    assert [entry.number for entry in entries] == list(range(1, len(entries) + 1))
    assert count_records(path) == len(entries)
    return [entry.reason for entry in entries]


@pytest.mark.parametrize(
    "text",
    [
        f"[{GOOD},{GOOD}]",
        f"\ufeff \n[\n {GOOD} ,\n\n {GOOD}\n]\n\n",
        f"{GOOD}\n{GOOD}",
        f"\ufeff{GOOD}\r\n\r\n  \n{GOOD}\r\n",
    ],
)
@pytest.mark.parametrize("name", ["x.json", "x.jsonl", "X.JSON"])
def test_lists_and_lines(tmp_path: Path, text: str, name: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert reasons(tmp_path / name) == ["", ""]


def test_empty_files(tmp_path: Path) -> None:
    for text in ("", "\n \n", "[]", " [ ] "):
        (tmp_path / "x.json").write_text(text)
        assert reasons(tmp_path / "x.json") == []


def test_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    value = {"conversations": [{"from": "human", "value": "a\u2028\x85b"}, {"from": "gpt", "value": "\U0001f600"}]}
    (tmp_path / "x.jsonl").write_text(json.dumps(value, ensure_ascii=False) + "\n" + GOOD, encoding="utf-8")
    first = next(iter(read_records(tmp_path / "x.jsonl"))).record
    assert first is not None
    assert first.messages[0].text == "a\u2028\x85b"
    assert reasons(tmp_path / "x.jsonl") == ["", ""]


def test_a_broken_line_is_one_broken_record(tmp_path: Path) -> None:
    bad = [b"{", b'{"a": %s}' % (b"1" * 5000), b'{"a": "\xff"}', b"[" * 100_000, b"{} {}", b"7"]
    says = ["line 2: no valid JSON", "a number of 5000 digits", "no UTF-8"]
    says += ["nested too deeply", "something follows", "must be an object, got int"]
    lines = [line for one in bad for line in (GOOD.encode(), one)]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines))
    found = reasons(tmp_path / "x.jsonl")
    assert found[::2] == [""] * len(bad)
    for reason, words in zip(found[1::2], says, strict=True):
        assert words in reason
        assert "\n" not in reason


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        (", {]", "Expecting property name"),
        (f" {GOOD}]", "',' was expected"),
        (",]", "Expecting value"),
        ("", "the file ends"),
        (", ", "Expecting value"),
        ("] x", "something follows"),
        (', {"a": "b', "Unterminated string"),
        (", " + "[" * 100_000, "nested too deeply"),
        (', "\xff', "no UTF-8"),
    ],
)
def test_a_list_that_is_broken_in_the_middle(tmp_path: Path, rest: str, says: str) -> None:
    (tmp_path / "x.json").write_bytes(f"[{GOOD}{rest}".encode("latin-1"))
    first, second = reasons(tmp_path / "x.json")
    assert first == ""
    assert re.search(says, second)
    assert "the rest" in second or "follows" in second


def test_odd_numbers_break_one_element_of_a_list(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(f'[{GOOD}, {{"a": {"1" * 5000}}}, {GOOD}]')
    assert [bool(reason) for reason in reasons(tmp_path / "x.json")] == [False, True, False]


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_null(tmp_path: Path, name: str, number: str) -> None:
    odd = GOOD.replace("{", f'{{"image": {number}, "loss": [1.5, {number}], ', 1)  # as pandas writes missing cells
    (tmp_path / name).write_text(f"[{odd}, {GOOD}]" if name == "x.json" else f"{odd}\n{GOOD}\n")
    assert reasons(tmp_path / name) == ["", ""]
    first = next(iter(read_records(tmp_path / name))).record
    assert first is not None
    assert (first.images, first.extra) == ((), {"loss": [1.5, None]})
    with open_writer(tmp_path / f"out-{name}") as writer:
        writer.write(first, 1)
    assert next(iter(read_records(tmp_path / f"out-{name}"))).record == first


def test_one_object_over_many_lines_is_one_problem(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"a": [1, 2, 3]}, indent=2))
    assert len(reasons(tmp_path / "x.json")) == 1


@given(st.lists(st.dictionaries(st.text(max_size=3), JSON), max_size=5), st.sampled_from([1, 2, 7, 64]), st.booleans())
def test_any_list_read_in_small_pieces(values: list[Any], chunk: int, ascii_only: bool) -> None:
    text = json.dumps([RECORD | {"x": value} for value in values], ensure_ascii=ascii_only, indent=1)
    with TemporaryDirectory() as folder, patch.object(json_reader, "CHUNK", chunk):
        (Path(folder) / "x.json").write_text(text, encoding="utf-8")
        records = [entry.record for entry in read_records(Path(folder) / "x.json")]
    assert [record and strict(record.extra["x"]) for record in records] == [strict(value) for value in values]


def test_records_that_are_not_wanted_are_not_parsed(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(f"{GOOD}\nbroken\n{GOOD}\n")
    assert [entry.number for entry in read_records(tmp_path / "x.jsonl", lambda number: number != 2)] == [1, 3]
    (tmp_path / "x.json").write_text(f"[{GOOD}, 7, {GOOD}]")
    assert [entry.number for entry in read_records(tmp_path / "x.json", lambda number: number > 2)] == [3]


def test_too_long_is_broken_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_reader, "LIMIT", 1000)
    monkeypatch.setattr(json_reader, "CHUNK", 100)
    long = json.dumps({"x": "y" * 5000})
    (tmp_path / "x.jsonl").write_text(f"{GOOD}\n{long}\n{GOOD}\n")
    assert [bool(reason) for reason in reasons(tmp_path / "x.jsonl")] == [False, True, False]
    (tmp_path / "x.json").write_text(f"[{GOOD},{long},{GOOD}]")
    assert ["longer than" in reason for reason in reasons(tmp_path / "x.json")] == [False, True]


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_a_large_file_takes_little_memory(tmp_path: Path, name: str) -> None:
    texts = [{"from": "human", "value": "a" * 50_000}, {"from": "gpt", "value": "b" * 50_000}]
    line, between = json.dumps({"conversations": texts}), ",\n" if name == "x.json" else "\n"
    with (tmp_path / name).open("w") as file:
        file.write("[" if name == "x.json" else "")
        for number in range(1000):
            file.write((between if number else "") + line)
        file.write("]" if name == "x.json" else "")
    assert (tmp_path / name).stat().st_size > 100e6
    tracemalloc.start()
    count = sum(entry.record is not None for entry in read_records(tmp_path / name))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 1000
    assert peak < 20e6


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"x\.json"):
        list(read_records(tmp_path / "x.json"))
    with pytest.raises(ValueError, match=r"x\.csv: .*; write each row as a JSON line with image, question and answer"):
        list(read_records(tmp_path / "x.csv"))
    with pytest.raises(ValueError, match=r"x\.txt: cannot be read; known are \.json"):
        list(read_records(tmp_path / "x.txt"))
