"""Files appear whole or not at all; spreadsheets run nothing."""

import csv
import json
from pathlib import Path

import pytest

from data_modules.formats import ImageRef, Inexpressible, Message, Record, WriteOptions, open_writer, read_records
from data_modules.formats.writers import WRITABLE

RECORD = Record((), (Message("user", "a"), Message("assistant", "b")))


def write_and_fail(path: Path) -> None:
    with open_writer(path, WriteOptions(lossy=True)) as writer:
        writer.write(RECORD, 1)
        raise RuntimeError


@pytest.mark.parametrize("kind", WRITABLE)
def test_an_error_leaves_the_old_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x{kind}"
    path.write_text("old")
    with pytest.raises(RuntimeError):
        write_and_fail(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", [".json", ".jsonl", ".parquet", ".tar"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_is_written_is_read(tmp_path: Path, kind: str, count: int) -> None:
    with open_writer(tmp_path / f"x{kind}") as writer:
        for number in range(1, count + 1):
            writer.write(RECORD, number)
    assert [entry.record for entry in read_records(tmp_path / f"x{kind}")] == [RECORD] * count


def test_json_is_a_list_with_a_record_a_line(tmp_path: Path) -> None:
    record = Record((), (Message("user", "ü\u2028"), Message("assistant", "\ud800")))
    with open_writer(tmp_path / "x.json", WriteOptions("messages")) as writer:
        writer.write(RECORD, 1)
        writer.write(record, 2)
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert len(text.split("\n")) == 5
    assert [one["messages"][1]["content"] for one in json.loads(text)] == ["b", "\ud800"]


def test_misuse_is_refused(tmp_path: Path) -> None:
    for name, dialect, says in (
        ("x.txt", None, r"x\.txt: cannot be written; known are \.json"),
        ("x.json", "y", "y: no such"),
    ):
        with pytest.raises(ValueError, match=says), open_writer(tmp_path / name, WriteOptions(dialect)):
            pass
    with pytest.raises(ValueError, match="--lossy"), open_writer(tmp_path / "x.csv"):
        pass
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(Inexpressible, match="nested too deeply"), open_writer(tmp_path / "x.json") as writer:
        writer.write(Record((), RECORD.messages, {"deep": deep}), 4)
    assert list(tmp_path.iterdir()) == []


def test_spreadsheets_run_nothing(tmp_path: Path) -> None:
    answers = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", 'a "b", \nc', "'=1", "plain = 1", "\ud800"]
    turns = [turn for one in answers for turn in (Message("user", "=cmd", (0,)), Message("assistant", one))]
    images = (ImageRef("=a.jpg"), *(ImageRef(str(number)) for number in range(len(answers) - 1)))
    with open_writer(tmp_path / "x.csv", WriteOptions(lossy=True)) as writer:
        writer.write(Record(images, (Message("system", "s"), *turns), {"id": "@id"}), 1)
        writer.write(RECORD, 2)
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["id", "images", "question", "answer"]
    kept = ["'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1", "'\r=1", 'a "b", \nc', "'=1", "plain = 1", "?"]
    assert [row[3] for row in rows] == [*kept, "b"]
    assert rows[0][:3] == ["'@id", "'=a.jpg;0;1;2;3;4;5;6;7;8", "'=cmd"]
    assert rows[-1] == ["2", "", "a", "b"]


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
@pytest.mark.parametrize(
    "before", ["", "\n", "\r\n", "\t", " ", " \n \t", "\xa0", "\u3000", "\u2028", "\ufeff", "\u200b", "\0"]
)
def test_formulas_behind_what_shows_nothing(tmp_path: Path, sign: str, before: str) -> None:
    cell = f"{before}{sign}cmd|' /C calc'!A0"
    record = Record((ImageRef(cell),), (Message("user", cell), Message("assistant", cell)), {"id": cell})
    with open_writer(tmp_path / "x.csv", WriteOptions(lossy=True)) as writer:
        writer.write(record, 1)
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1:] == [[f"'{cell}"] * 4]


def test_text_that_is_no_formula_stays(tmp_path: Path) -> None:
    cells = ["\nplain", " a = b", "1-2", "\u200bword", "\u2013 a dash"]
    with open_writer(tmp_path / "x.csv", WriteOptions(lossy=True)) as writer:
        for cell in cells:
            writer.write(Record((), (Message("user", "q"), Message("assistant", cell)), {"id": "i"}), 1)
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        assert [row[3] for row in csv.reader(file)][1:] == cells
