"""Reading tables of records, as other tools write them and broken ones."""

import csv
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from lightning_c3l.evaluation.benchmarks.rows import cell_id, cell_letter, cell_text, parse_index, read_rows

RECORDS = [{"index": 1, "text": "Yes, a\tb"}, {"index": 2, "text": 'No "really"\nnot'}]


def _write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _book(path: Path, rows: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
    return path


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(RECORDS),
        json.dumps(RECORDS, indent=2),
        "\ufeff" + json.dumps(RECORDS),
        json.dumps({"questions": RECORDS}),
        json.dumps({"data": RECORDS}, indent=1),
        json.dumps({"logs": RECORDS, "time": "now"}),
        "\n".join(map(json.dumps, RECORDS)),
        "\r\n".join(map(json.dumps, RECORDS)) + "\r\n\r\n",
        ",\n".join(map(json.dumps, RECORDS)),
        ",\n".join(map(json.dumps, RECORDS)) + ",\n",
        "\ufeff" + ",\r\n".join(map(json.dumps, RECORDS)) + ",",
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt"])
def test_json_in_all_its_forms(content: str, name: str, tmp_path: Path) -> None:
    assert read_rows(_write(tmp_path, name, content)) == RECORDS


def test_one_object_is_a_record_or_answers_by_id(tmp_path: Path) -> None:
    assert read_rows(_write(tmp_path, "a", '{"question_id": 1, "text": "No"}')) == [{"question_id": 1, "text": "No"}]
    assert read_rows(_write(tmp_path, "a", '{"question_id": 1, "text": "No"},\n')) == [{"question_id": 1, "text": "No"}]
    expected = [{"question_id": "7", "text": "No"}, {"question_id": "8", "text": "Yes"}]
    assert read_rows(_write(tmp_path, "a", '{"7": "No", "8": "Yes"}')) == expected
    assert read_rows(_write(tmp_path, "a", '{\n"7": "No",\n"8": "Yes"\n}')) == expected


def test_what_a_document_says_once_goes_with_each_record(tmp_path: Path) -> None:
    path = _write(tmp_path, "a", '{"question_type": {"Text": 9}, "questions": [{"id": 1}, {"id": 2}]}')
    assert read_rows(path) == [{"question_type": {"Text": 9}, "id": number} for number in (1, 2)]


@pytest.mark.parametrize("delimiter", [",", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimited_text(delimiter: str, end: str, mark: str, tmp_path: Path) -> None:
    path = tmp_path / "a.dat"
    with path.open("w", newline="", encoding="utf-8") as stream:
        stream.write(mark)
        writer = csv.writer(stream, delimiter=delimiter, lineterminator=end)
        writer.writerow(["index", "text"])
        writer.writerows([[row["index"], row["text"]] for row in RECORDS])
        stream.write(end)
    assert read_rows(path) == [{"index": str(row["index"]), "text": row["text"]} for row in RECORDS]


def test_cells_may_be_huge_and_the_limit_of_csv_stays(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    path = _write(tmp_path, "a.tsv", "index\timage\n1\t" + "x" * 300_000 + "\n")
    assert len(read_rows(path)[0]["image"]) == 300_000 > before
    assert csv.field_size_limit() == before


def test_a_workbook_under_any_name(tmp_path: Path) -> None:
    table = [["index", "text", None], [1, "Yes", "stray"], [None, None, None], [2.0, None, None], [3, "=No", None]]
    for name in ("a.xlsx", "a.tsv"):
        rows = read_rows(_book(tmp_path / "book.xlsx", table).rename(tmp_path / name))
        assert rows == [{"index": 1, "text": "Yes"}, {"index": 2, "text": None}, {"index": 3, "text": "=No"}]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b" \n\r\n", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"[]", "no record"),
        (b"[1]", "record 1: a record must be an object"),
        (b'[{"a": 1}, "x"]', "record 2"),
        (b'{"a": 1}\n{"a": \n', "line 2: not valid JSON"),
        (b'{"a": 1}\n{"a": 2', "line 2: not valid JSON"),
        (b'{"a": 1}\n[2]', "line 2: a record must be an object"),
        (b'{"a": 1, "a": 2}', "the key 'a' is used twice"),
        (b'{"a": {"b": 1}, "c": [1]}', "without a list of records"),
        (b'[{"a": 1}', "not valid JSON"),
        (b"[" * 200_000, "nested too deep|not valid JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b"index,text\n1,\xff\n", "not UTF-8"),
        (b"index,text\n1,a\n2\n", "line 3: 1 cells, but the header has 2"),
        (b"index,text\n1,a,b\n", "line 2: 3 cells"),
        (b'index,text\n1,"a\n', "line 2"),
        (b'index,text\n1,"a"b\n', "line 2"),
        (b"index,text\n1,a\0\n", "line 2: a NUL"),
        (b"index,text\n", "no record"),
        (b"PK\x03\x04 and then nothing", "not a readable workbook"),
    ],
)
def test_broken_files_are_named_with_the_record(content: bytes, says: str, tmp_path: Path) -> None:
    path = _write(tmp_path, "odd.file", content)
    with pytest.raises(ValueError, match=says) as caught:
        read_rows(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_workbook_and_one_with_entities_are_refused(tmp_path: Path) -> None:
    whole = _book(tmp_path / "whole.xlsx", [["index"], *([n] for n in range(200))]).read_bytes()
    with pytest.raises(ValueError, match="not a readable workbook"):
        read_rows(_write(tmp_path, "cut.xlsx", whole[: len(whole) // 2]))
    bomb = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(tmp_path / "whole.xlsx") as source, zipfile.ZipFile(bomb, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "xl/worksheets/sheet1.xml":
                content = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + content
            target.writestr(name, content)
    with pytest.raises(ValueError, match="not a readable workbook"):
        read_rows(bomb)


def test_a_workbook_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _book(tmp_path / "a.xlsx", [["index"], [1]])
    monkeypatch.setattr("lightning_c3l.evaluation.benchmarks.rows._MOST_UNPACKED", 100)
    with pytest.raises(ValueError, match="unpacks to more"):
        read_rows(path)


def test_an_absent_file_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read_rows(tmp_path / "nowhere.json")


def test_cells_become_text() -> None:
    for nothing in (None, float("nan"), "nan", " NaN "):
        assert cell_text(nothing) == ""
    assert [cell_text(value) for value in (3.0, 3.5, 7, "Nancy", "banana")] == ["3", "3.5", "7", "Nancy", "banana"]
    assert [cell_id(value) for value in (241.0, "241.0", " 241 ", "v22", "1.5", None)] == [
        "241",
        "241",
        "241",
        "v22",
        "1.5",
        "",
    ]
    assert [cell_letter(value) for value in ("b", " C ", "1", "AB", None, "\u00c4")] == ["B", "C", "", "", "", ""]


def test_a_workbook_that_states_a_row_beyond_all_is_refused(tmp_path: Path) -> None:
    _book(tmp_path / "whole.xlsx", [["index"], [1], [2]])
    far = tmp_path / "far.xlsx"
    with zipfile.ZipFile(tmp_path / "whole.xlsx") as source, zipfile.ZipFile(far, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "xl/worksheets/sheet1.xml":
                assert b'<row r="3"' in content
                content = content.replace(b'<row r="3"', b'<row r="2000000000"')
            target.writestr(name, content)
    with pytest.raises(ValueError, match=r"far\.xlsx: not a readable workbook: more than 1048576 rows"):
        read_rows(far)


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(ValueError, match=f"{path}: not a regular file"):
            read_rows(path)
    with pytest.raises(IsADirectoryError):
        read_rows(tmp_path)


def test_ids_are_whole_numbers_of_64_bits() -> None:
    for text, number in (("7", 7), (str(2**63 - 1), 2**63 - 1), (str(2**63), None), ("9" * 5000, None), ("-1", None)):
        assert parse_index(text) == number
