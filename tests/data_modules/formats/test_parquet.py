"""Parquet: our columns, and other people's."""

import contextlib
import json
import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_modules.formats import (
    DIALECTS,
    ImageRef,
    Inexpressible,
    Message,
    Record,
    WriteOptions,
    count_records,
    open_writer,
    parquet_table,
    read_layout,
    read_records,
)
from data_modules.formats.dialects import from_json
from lightning_c3l.records import Scores, VLITRecord

TURNS = [{"from": "human", "value": "<image>a"}, {"from": "gpt", "value": "b"}]


def read(path: Path) -> list[Record]:
    entries = list(read_records(path))
    assert [entry.number for entry in entries] == list(range(1, count_records(path) + 1))
    assert all(entry.record is not None for entry in entries), entries
    return [entry.record for entry in entries if entry.record is not None]


def write(path: Path, *records: Record, **options: Any) -> None:
    with open_writer(path, WriteOptions(**options)) as writer:
        for number, record in enumerate(records, start=1):
            writer.write(record, number)


def test_our_columns(tmp_path: Path) -> None:
    odd = {"id": 7, "image": ["a.jpg"], "conversations": [dict(TURNS[0], weight=1), TURNS[1]], "k": {"m": None}}
    write(tmp_path / "x.parquet", from_json({"id": "n", "image": "a.jpg", "conversations": TURNS}), from_json(odd))
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.schema.types == [
        pa.string(),
        pa.list_(pa.string()),
        pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
        pa.string(),
    ]
    first, second = table.to_pylist()
    messages = [{"role": "user", "content": "<image>a"}, {"role": "assistant", "content": "b"}]
    assert first == {"id": "n", "images": ["a.jpg"], "messages": messages, "extra": None}
    assert (second["id"], second["images"], second["messages"]) == (None, ["a.jpg"], messages)
    extra = json.loads(second["extra"])
    assert (extra["id"], extra["k"], extra["c3l_messages"]) == (7, {"m": None}, [{"weight": 1}, {}])
    assert read_layout(tmp_path / "x.parquet").dialect == "llava"
    assert not read_layout(tmp_path / "x.parquet").carries_images


def test_the_dialect_is_noted(tmp_path: Path) -> None:
    record = from_json({"conversations": TURNS, "image": "a.jpg"})
    for dialect in DIALECTS:
        write(tmp_path / "x.parquet", record, dialect=dialect)
        assert read_layout(tmp_path / "x.parquet").dialect == dialect
    pq.write_table(pq.read_table(tmp_path / "x.parquet").replace_schema_metadata({}), tmp_path / "x.parquet")
    assert read_layout(tmp_path / "x.parquet").dialect == "messages"


def test_embedded_images(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"from a file")
    images = (ImageRef("a.jpg"), ImageRef("data:image/png;base64,", b"inline"), ImageRef("b.png", b"carried"))
    record = Record(images, (Message("user", "a", (0, 0, 1)), Message("assistant", "b")))
    write(tmp_path / "x.parquet", record, embed=True, image_root=tmp_path)
    images = pq.read_table(tmp_path / "x.parquet")["images"].to_pylist()[0]
    assert images == [
        {"bytes": b"from a file", "path": "a.jpg"},
        {"bytes": b"inline", "path": "data:image/png;base64,"},
        {"bytes": b"carried", "path": "b.png"},
    ]
    assert [image.data for image in read(tmp_path / "x.parquet")[0].images] == [
        b"from a file",
        b"inline",
        b"carried",
    ]
    assert read_layout(tmp_path / "x.parquet").carries_images
    with pytest.raises(Inexpressible, match=r"image a\.jpg is not below"):
        write(tmp_path / "y.parquet", record, embed=True, image_root=tmp_path / "other")
    assert not (tmp_path / "y.parquet").exists()
    write(tmp_path / "y.parquet", record, embed=True, image_root=tmp_path / "other", lossy=True)
    assert read(tmp_path / "y.parquet")[0].images[0] == ImageRef("a.jpg")


def test_carried_images_are_not_dropped_silently(tmp_path: Path) -> None:
    record = Record((ImageRef("b.png", b"x"),), (Message("user", "a", (0,)), Message("assistant", "b")))
    for name in ("x.parquet", "x.json", "x.jsonl"):
        with pytest.raises(Inexpressible, match=r"it carries the image 'b\.png'"):
            write(tmp_path / name, record)
        write(tmp_path / name, record, lossy=True)
        assert read(tmp_path / name)[0].images == (ImageRef("b.png"),)


def test_half_a_surrogate_pair(tmp_path: Path) -> None:
    record = Record((), (Message("user", "a\ud800b"), Message("assistant", "c")), {"x": "\udfff"})
    with pytest.raises(Inexpressible, match=r".*surrogate"):
        write(tmp_path / "x.parquet", record)
    write(tmp_path / "x.parquet", record, lossy=True)
    found = read(tmp_path / "x.parquet")[0]
    assert (found.messages[0].text, found.extra) == ("a?b", {"x": "\udfff"})
    write(tmp_path / "x.jsonl", record)
    assert read(tmp_path / "x.jsonl") == [record]


def test_many_rows(tmp_path: Path) -> None:
    records = [Record((), (Message("user", str(n)), Message("assistant", "b")), {"id": str(n)}) for n in range(20_000)]
    write(tmp_path / "x.parquet", *records)
    assert pq.ParquetFile(tmp_path / "x.parquet").num_row_groups > 1
    assert read(tmp_path / "x.parquet") == records
    wanted = {1, 8193, 20_000}
    entries = list(read_records(tmp_path / "x.parquet", lambda number: number in wanted))
    assert {entry.number: entry.record for entry in entries} == {number: records[number - 1] for number in wanted}


def test_the_flat_table_of_our_own_runs(tmp_path: Path) -> None:
    scores = Scores(0.5, math.nan, 1.5, -0.5, -1.0, -0.5, 3)
    with parquet_table(tmp_path / "x.parquet") as add:
        add(VLITRecord("7", "a.jpg", "Why?", "So.", "short", scores, {"round": 2}))
    record = read(tmp_path / "x.parquet")[0]
    assert record.images == (ImageRef("a.jpg"),)
    assert record.messages == (Message("user", "Why?", (0,)), Message("assistant", "So."))
    assert (record.extra["score_answer"], record.extra["score_positions"], record.extra["tokens"]) == (0.5, None, 3)
    assert read_layout(tmp_path / "x.parquet").dialect == "pairs"


FOREIGN: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": "<image>a"}, {"role": "assistant", "content": "b"}], "images": ["i.jpg"]},
    {"conversations": TURNS, "image": "i.jpg"},
    {"question": "a", "answer": "b", "image": {"bytes": b"raw", "path": "i.jpg"}},
    {"question": "a", "answer": "b", "images": [{"bytes": b"raw", "path": "i.jpg"}]},
    {"question": "a", "answer": "b", "image": b"raw"},
    {
        "messages": [
            {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "a"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
        ],
        "images": [{"bytes": b"raw", "path": None}],
    },
]


@pytest.mark.parametrize("row", FOREIGN)
def test_other_peoples_columns(tmp_path: Path, row: dict[str, Any]) -> None:
    more = {"day": date(2024, 5, 1), "score": math.inf, "nested": {"n": [1, None]}}
    pq.write_table(pa.Table.from_pylist([row | more]), tmp_path / "x.parquet")
    record = read(tmp_path / "x.parquet")[0]
    assert record.messages == (Message("user", "a", (0,)), Message("assistant", "b"))
    image = record.images[0]
    assert image in (ImageRef("i.jpg"), ImageRef("i.jpg", b"raw"), ImageRef("", b"raw"))
    assert (image.data == b"raw") == (b"raw" in str(row).encode())
    assert record.extra == {"day": "2024-05-01", "score": None, "nested": {"n": [1, None]}}


def test_rows_that_are_no_records(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"text": "a"}, {"text": "b"}]), tmp_path / "x.parquet")
    assert ["'conversations' is missing" in entry.reason for entry in read_records(tmp_path / "x.parquet")] == [
        True
    ] * 2
    odd = pa.Table.from_pylist([{"question": "a", "answer": "b", "wait": timedelta(1)}])
    pq.write_table(odd, tmp_path / "x.parquet")
    (entry,) = read_records(tmp_path / "x.parquet")
    assert entry.reason == "column 'wait' holds timedelta, which JSON has no form for"
    text = pa.array([b"a", b"\xff"]).cast(pa.string(), safe=False)
    pq.write_table(pa.table({"question": ["a", "b"], "answer": text}), tmp_path / "x.parquet")
    good, bad = read_records(tmp_path / "x.parquet")
    assert good.record is not None
    assert bad.reason.startswith("column 'answer' cannot be read: ")


IMAGE = {"bytes": b"raw", "path": None}


@pytest.mark.parametrize("name", ["thumbnail", "audio", "image_2"])
def test_a_second_column_of_bytes_is_refused_at_once(tmp_path: Path, name: str) -> None:
    row = {"image": IMAGE, "question": "a", "answer": "b"}
    for value in (IMAGE, [IMAGE], b"raw", {"left": IMAGE}):
        pq.write_table(pa.Table.from_pylist([row | {name: value}, row]), tmp_path / "x.parquet")
        for use in (count_records, read_layout, lambda path: next(read_records(path))):
            with pytest.raises(ValueError, match=rf"x\.parquet: column '{name}' holds binary data, which is not read"):
                use(tmp_path / "x.parquet")


@pytest.mark.parametrize("value", [IMAGE, b"raw", [IMAGE]])
def test_other_names_of_the_column_of_images(tmp_path: Path, value: Any) -> None:
    row = {"img": value, "question": "a", "answer": "b"}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet")[0].images == (ImageRef("", b"raw"),)
    pq.write_table(pa.Table.from_pylist([row | {"image_file": value}]), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"column 'image_file' holds binary data, .* which are read from 'img'"):
        count_records(tmp_path / "x.parquet")


def test_bytes_inside_of_messages(tmp_path: Path) -> None:
    image = {"type": "image", "text": None, "image": IMAGE}
    text = {"type": "text", "text": "b", "image": None}
    turns = [{"role": "user", "content": [image, text]}, {"role": "assistant", "content": [text]}]
    pq.write_table(pa.Table.from_pylist([{"messages": turns}]), tmp_path / "x.parquet")
    assert read(tmp_path / "x.parquet")[0].images == (ImageRef("", b"raw"),)
    turns = [{"role": "user", "content": "a", "wave": IMAGE}, {"role": "assistant", "content": "b", "wave": None}]
    pq.write_table(pa.Table.from_pylist([{"messages": turns}]), tmp_path / "x.parquet")
    (entry,) = read_records(tmp_path / "x.parquet")
    assert entry.reason == "turn 1: field 'wave' holds binary data, which is not read"


def test_a_record_that_does_not_fit_leaves_nothing_behind(tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"a": deep}
    turns = (Message("user", "a"), Message("assistant", "b"))
    with open_writer(tmp_path / "x.parquet") as writer:
        for number, extra in enumerate(({"n": 1}, {"deep": deep}, {"n": 3}), start=1):
            with contextlib.suppress(Inexpressible):
                writer.write(Record((), turns, extra), number)
    assert read(tmp_path / "x.parquet") == [Record((), turns, {"n": 1}), Record((), turns, {"n": 3})]


def test_damaged_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"PAR1 and nothing")
    for use in (count_records, read_layout, lambda path: list(read_records(path))):
        with pytest.raises(ValueError, match=r"x\.parquet: no Parquet file"):
            use(tmp_path / "x.parquet")
    with pytest.raises(FileNotFoundError):
        count_records(tmp_path / "absent.parquet")


def test_our_columns_edited_by_others(tmp_path: Path) -> None:
    message = {"role": "user", "content": "<image>"}
    for row, says in (
        ({"messages": [message], "extra": "{"}, "no valid JSON"),
        ({"messages": [message], "extra": "[]"}, "no object"),
        ({"messages": [], "extra": None}, "empty"),
        ({"messages": [message], "extra": None}, "no 'image'"),
        ({"messages": [{"role": "user", "content": None}], "extra": None}, ""),
    ):
        columns: dict[str, Any] = {"id": "1", "images": [], **row}
        pq.write_table(pa.Table.from_pylist([columns]), tmp_path / "x.parquet")
        (entry,) = read_records(tmp_path / "x.parquet")
        assert entry.record is None
        assert says in entry.reason


def test_further_fields_as_older_versions_wrote_them(tmp_path: Path) -> None:
    message = {"role": "user", "content": "<image>a"}
    extra = {"id": 7, "image": 3, "system": "s", "question": "q", "c3l_messages": [{"weight": 1}]}
    row = {"id": None, "images": ["a.jpg"], "messages": [message], "extra": json.dumps(extra)}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "x.parquet")
    expected = (Message("user", "a", (0,), {"weight": 1}),)
    fields = {"id": 7, "image": 3, "system": "s", "question": "q"}
    assert read(tmp_path / "x.parquet") == [Record((ImageRef("a.jpg"),), expected, fields)]
    write(tmp_path / "y.parquet", *read(tmp_path / "x.parquet"))
    assert read(tmp_path / "y.parquet") == read(tmp_path / "x.parquet")
