"""Other projects' formats beside the same record written by hand in ours."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_modules.formats import read_records
from data_modules.formats.dialects import from_json, to_json
from data_modules.formats.record import ImageRef, Message, Record
from lightning_c3l.cli.convert import Job, convert

QUESTION, ANSWER = Message("user", "Name a color."), Message("assistant", "red")
MORE = (Message("user", "And a fruit?"), Message("assistant", "fig"))
SYSTEM = Message("system", "Be brief.")
SEEN = Message("user", "\nName a color.", (0,))


def turns(
    *texts: str, speaker: str = "role", said: str = "content", names: tuple[str, str] = ("user", "assistant")
) -> Any:
    return [{speaker: names[number % 2], said: text} for number, text in enumerate(texts)]


# the value, and its record as (images, messages, other fields)
FORMATS: dict[str, tuple[dict[str, Any], Record]] = {
    "alpaca": (
        {"instruction": "Name a color.", "input": "", "output": "red"},
        Record((), (QUESTION, ANSWER)),
    ),
    "alpaca with input, as LLaMA-Factory and ms-swift join them": (
        {"instruction": "Translate.", "input": "rouge", "output": "red", "id": 3},
        Record((), (Message("user", "Translate.\nrouge"), ANSWER), {"id": 3}),
    ),
    "alpaca with all": (
        {
            "system": "Be brief.",
            "instruction": "And a fruit?",
            "output": "fig",
            "history": [["<image>\nName a color.", "red"]],
            "images": ["a.jpg"],
        },
        Record((ImageRef("a.jpg"),), (SYSTEM, SEEN, ANSWER, *MORE)),
    ),
    "ms-swift": (
        {"query": "<image>\nName a color.", "response": "red", "images": ["a.jpg"]},
        Record((ImageRef("a.jpg"),), (SEEN, ANSWER)),
    ),
    "ms-swift with history": (
        {"system": "Be brief.", "query": "And a fruit?", "response": "fig", "history": [["Name a color.", "red"]]},
        Record((), (SYSTEM, QUESTION, ANSWER, *MORE)),
    ),
    "ms-swift's sharegpt": (
        {"system": "Be brief.", "conversation": [{"human": "Name a color.", "assistant": "red"}]},
        Record((), (SYSTEM, QUESTION, ANSWER)),
    ),
    "XTuner": (
        {
            "conversation": [
                {"system": "Be brief.", "input": "Name a color.", "output": "red"},
                {"input": "And a fruit?", "output": "fig"},
            ]
        },
        Record((), (SYSTEM, QUESTION, ANSWER, *MORE)),
    ),
    "Mantis": (
        {"images": ["a.jpg"], "conversation": turns("<image>\nName a color.", "red")},
        Record((ImageRef("a.jpg"),), (SEEN, ANSWER)),
    ),
    "the_cauldron": (
        {
            "images": ["a.jpg", "b.jpg"],
            "texts": [
                {"user": "Name a color.", "assistant": "red", "source": "S"},
                {"user": "And a fruit?", "assistant": "fig", "source": "T"},
            ],
        },
        Record(
            (ImageRef("a.jpg"), ImageRef("b.jpg")),
            (
                Message("user", "Name a color.", (0, 0), {"source": "S"}),
                ANSWER,
                Message("user", "And a fruit?", (), {"source": "T"}),
                MORE[1],
            ),
        ),
    ),
    "MiniCPM-V": (
        {
            "id": "0",
            "image": {"<image_00>": "a.jpg", "<image_01>": "b.jpg"},
            "conversations": turns("<image_01> or\n<image_00>?", "red"),
        },
        Record((ImageRef("b.jpg"), ImageRef("a.jpg")), (Message("user", " or\n?", (0, 4)), ANSWER), {"id": "0"}),
    ),
    "MiniCPM-V with one image": (
        {"image": "a.jpg", "conversations": turns("<image>\nName a color.", "red")},
        Record((ImageRef("a.jpg"),), (SEEN, ANSWER)),
    ),
    "Qwen-VL": (
        {
            "id": "identity_1",
            "conversations": turns(
                "Picture 1: <img>assets/a.jpg</img>\nPicture 2: <img>b 2.PNG</img>\nWhich?",
                "red",
                speaker="from",
                said="value",
            ),
        },
        Record(
            (ImageRef("assets/a.jpg"), ImageRef("b 2.PNG")),
            (Message("user", "Picture 1: \nPicture 2: \nWhich?", (11, 23)), ANSWER),
            {"id": "identity_1"},
        ),
    ),
    "Qwen2-VL": (
        {
            "messages": turns("", "red")[1:]
            and [
                {
                    "role": "user",
                    "content": [
                        {"type": "image", "image": "file:///data/a.jpg"},
                        {"type": "text", "text": "\nName a color."},
                    ],
                },
                {"role": "assistant", "content": [{"type": "text", "text": "red"}]},
            ]
        },
        Record((ImageRef("/data/a.jpg"),), (SEEN, ANSWER)),
    ),
    "role bot": (
        {"conversations": turns("Name a color.", "red", speaker="from", said="value", names=("human", "bot"))},
        Record((), (QUESTION, ANSWER)),
    ),
    "chat API with the file in it": (
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGVsbG8="}},
                        {"type": "text", "text": "\nName a color."},
                    ],
                },
                {"role": "assistant", "content": "red"},
            ]
        },
        Record((ImageRef("data:image/png;base64,", b"hello"),), (SEEN, ANSWER)),
    ),
    **{
        name: (
            {name: value, "conversations": turns("<image>\nName a color.", "red"), "source": "S"},
            Record((ImageRef("a.jpg"),), (SEEN, ANSWER), {"source": "S"}),
        )
        for name, value in {
            "img": "a.jpg",
            "image_path": "a.jpg",
            "image_paths": ["a.jpg"],
            "image_file": "a.jpg",
            "file_name": "a.jpg",
            "image_url": "file://a.jpg",
        }.items()
    },
    "image, and where it came from": (
        {
            "image": "a.jpg",
            "image_url": "http://x/y",
            "img": "y",
            "question": "<image>\nName a color.",
            "answer": "red",
        },
        Record((ImageRef("a.jpg"),), (SEEN, ANSWER), {"image_url": "http://x/y", "img": "y"}),
    ),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_record_is_read(name: str) -> None:
    value, expected = FORMATS[name]
    record = from_json(value)
    assert (record.images, record.messages, record.extra) == (expected.images, expected.messages, expected.extra)
    # it goes there and back through its own dialect and others
    for dialect in {record.dialect, "llava", "messages"}:
        there = json.loads(json.dumps(to_json(record, dialect)))
        again = from_json(there)
        assert (again.images, again.messages, again.extra) == (record.images, record.messages, record.extra)


def test_parquet_of_the_cauldron(tmp_path: Path) -> None:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    text = pa.struct([("user", pa.string()), ("assistant", pa.string()), ("source", pa.string())])
    rows = {
        "images": pa.array([[{"bytes": b"\x89PNGa", "path": None}]], pa.list_(image)),
        "texts": pa.array([[{"user": "Name a color.", "assistant": "red", "source": "S"}]], pa.list_(text)),
    }
    pq.write_table(pa.table(rows), tmp_path / "x.parquet")
    (entry,) = read_records(tmp_path / "x.parquet")
    assert entry.record is not None
    assert entry.record.images == (ImageRef("", b"\x89PNGa"),)
    assert entry.record.messages == (Message("user", "Name a color.", (0,), {"source": "S"}), ANSWER)
    assert convert(Job(str(tmp_path / "x.parquet"), tmp_path / "x.jsonl", extract=tmp_path / "images")) == (1, 0)
    (line,) = (tmp_path / "x.jsonl").read_text().splitlines()
    (file,) = (tmp_path / "images").iterdir()
    assert file.read_bytes() == b"\x89PNGa"
    assert json.loads(line)["messages"][0]["content"][0] == {"type": "image_url", "image_url": {"url": file.name}}


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (
            {"texts": [{"user": "a", "assistant": "b"}, {"user": "c"}]},
            "item 2 of 'texts' needs a question and an answer",
        ),
        ({"query": "a", "response": "b", "history": "[['c', 'd']]"}, "'history' must be a list of pairs"),
        ({"query": "a", "response": ["b"]}, "the answer must be a text, got list"),
        ({"instruction": "a", "output": None}, "the answer must be a text, got NoneType"),
        ({"image": {"<image_00>": "a.jpg"}, "conversations": turns("b", "c")}, "no text says <image_00>"),
        (
            {"image": {"<image_00>": "a.jpg"}, "conversations": turns("<image_01>", "c")},
            "says <image_01>, which 'image' does not have",
        ),
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "is a preference pair"),
        ({"text": "a", "label": 1}, "its fields are 'text', 'label'"),
    ],
)
def test_broken_records_say_why(value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_json(value)


def test_what_only_looks_like_an_image_of_qwen_stays_text() -> None:
    xml = "<item><img>big</img></item> and <img>\na.png</img>"
    answer = "<item><img>a.png</img></item>"
    value = {"messages": turns(xml, answer)}
    record = from_json(value)
    assert (record.images, record.messages) == ((), (Message("user", xml), Message("assistant", answer)))
    assert to_json(record, "messages") == value


def test_a_text_that_says_qwens_tag_is_not_written_where_it_would_be_read_as_an_image() -> None:
    literal = [{"type": "text", "text": "what is <img>a.png</img>?"}]
    value = {"messages": [{"role": "user", "content": literal}, {"role": "assistant", "content": "b"}]}
    record = from_json(value)
    assert record.images == ()
    assert to_json(record, "messages") == value
    with pytest.raises(ValueError, match=r"<img>a\.png</img> itself"):
        to_json(record, "llava")
    assert to_json(record, "llava", lossy=True)["conversations"][0]["value"] == "what is <img >a.png</img>?"
