"""Records as conversations, by hand and from real files."""

import json
from pathlib import Path
from typing import Any

import pytest

from data_modules.formats import ImageRef, Message, Record, read_records, to_conversation
from data_modules.formats.dialects import from_json
from lightning_c3l.records import Conversation, Turn
from tests.helpers.conversations import read_conversations


def turns(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)]


def conversation(images: Any, *texts: str) -> Conversation:
    return to_conversation(from_json({"image": images, "conversations": turns(*texts)}), 1)


@pytest.mark.parametrize("value", ["<image>\nWhy?", "<image>Why?", "<image> Why?", " <image> Why?", "Why?"])
def test_one_image_in_front_is_the_conversations(value: str) -> None:
    expected = Conversation("1", "x.png", (Turn("user", "Why?"), Turn("assistant", "So.")))
    assert conversation(["x.png"], value, "So.") == expected


def test_only_the_line_break_after_it_goes() -> None:
    assert conversation("x", "<image>\n\n a ", "b").turns[0] == Turn("user", "\n a ")


@pytest.mark.parametrize(
    ("value", "text", "positions"),
    [
        ("Why?\n<image>", "Why?", (4,)),
        ("Why? <image> ", "Why?", (4,)),
        ("a <image> b", "a  b", (2,)),
        (" a <image> b ", " a  b ", (3,)),
    ],
)
def test_another_position_is_kept(value: str, text: str, positions: tuple[int, ...]) -> None:
    expected = Conversation("1", ("x",), (Turn("user", text, positions), Turn("assistant", "c")))
    assert conversation("x", value, "c") == expected


def test_several_images() -> None:
    names = ["1", "2", "3"]
    two = conversation(names[:2], "<image>\n<image>\nWhich?", "b")
    assert (two.image, two.turns[0]) == (("1", "2"), Turn("user", "Which?", (0, 0)))
    around = conversation(names, "<image> a <image> b <image>", "c")
    assert around.turns[0] == Turn("user", "a  b", (0, 2, 4))
    later = conversation(names, "<image>\na", "b", "c <image><image>", "d")
    assert [turn.images for turn in later.turns] == [(0,), (), (1, 1), ()]
    assert later.images == ("1", "2", "3")
    second = conversation("x", "a", "b", "<image>\nc", "d")
    assert (second.image, second.turns[2]) == (("x",), Turn("user", "c", (0,)))
    assert conversation(names[:2], "<image> <image>", "b").turns[0] == Turn("user", "", (0, 0))


def test_names() -> None:
    record = from_json({"conversations": turns("a", "b")})
    assert to_conversation(record, 7).id == "7"
    record.extra["id"] = 5
    assert to_conversation(record, 7).id == "5"


def made(*roles: str) -> Record:
    return Record((), tuple(Message(role, "x") for role in roles))


@pytest.mark.parametrize(
    ("record", "says"),
    [
        (made("user"), "turns must go .* got user"),
        (made("user", "assistant", "user"), "turns must go"),
        (made("assistant", "user"), "turns must go"),
        (made("system"), "turns must go .* got none"),
        (made("user", "robot"), "turn 2 is from 'robot'"),
        (made("user", "assistant", "system"), "turns must go"),
        (
            Record((ImageRef("a"),), (Message("user", "a"), Message("assistant", "b", (0,)))),
            "from the assistant and holds",
        ),
    ],
)
def test_what_cannot_be_trained_on(record: Record, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        to_conversation(record, 1)


def test_a_bad_record_is_named(tmp_path: Path) -> None:
    good = {"conversations": turns("a", "b")}
    for bad, says in (([], "must be an object"), ({"conversations": turns("a")}, "turns must go")):
        (tmp_path / "x.json").write_text(json.dumps([good, bad]))
        with pytest.raises(ValueError, match=rf"x\.json, record 2: .*{says}"):
            read_conversations(tmp_path / "x.json", None)
    (tmp_path / "x.json").write_text(json.dumps([good, {"image": "a.jpg", **good}]))
    with pytest.raises(ValueError, match=r"record 2: image a\.jpg is not below"):
        read_conversations(tmp_path / "x.json", tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"")
    assert read_conversations(tmp_path / "x.json", tmp_path)[1].image == "a.jpg"


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "vlit-json" / "lmms-finetune"
    assert len(read_conversations(folder / "single_image.json", None)) == 2
    mixed = read_conversations(folder / "single_image_has_text_only.json", None)
    assert [item.image for item in mixed] == ["bm.jpg", "curry.jpg", None, None]
    assert [turn.role for turn in mixed[0].turns] == ["system", "user", "assistant", "user", "assistant"]
    assert mixed[0].turns[1].text == "Who are the people in this image?"
    assert mixed[1].id == "2"
    several = read_conversations(folder / "multi_images.json", None)
    assert [len(item.images) for item in several] == [2, 4]
    assert several[0].turns[1].images == (0, 0)
    assert several[1].turns[1].images == (62, 62, 62, 62)
    with pytest.raises(ValueError, match=r"video\.json, record 1: video is not supported yet"):
        read_conversations(folder / "video.json", None)
    with pytest.raises(ValueError, match=r"record 1: image bm\.jpg is not below"):
        read_conversations(folder / "single_image.json", folder)


def test_every_real_record_is_read(shared_data: Path) -> None:
    files = sorted((shared_data / "vlit-json").rglob("*.json"))
    counts = {file.name: [entry.reason for entry in read_records(file)] for file in files}
    assert {name: len(reasons) for name, reasons in counts.items()} == {
        file.name: len(json.loads(file.read_text())) for file in files
    }
    odd = {name: reasons for name, reasons in counts.items() if any(reasons)}
    assert set(odd) == {"video.json"}
    assert all(reason.startswith("video is not supported yet") for reason in odd["video.json"])
