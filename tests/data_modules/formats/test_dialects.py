"""What records of each dialect mean, by hand."""

import json
from typing import Any

import pytest

from data_modules.formats.dialects import from_json, to_json
from data_modules.formats.record import ImageRef, Inexpressible, Message, Record


def said(*texts: str) -> list[dict[str, str]]:
    return [{"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)]


def chat(*contents: Any) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[number % 2], "content": one} for number, one in enumerate(contents)]


def url(name: str, **more: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": name, **more}}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


SAME = [
    {"image": "a.jpg", "conversations": said("<image>\nWhy?", "So.")},
    {"image": ["a.jpg"], "conversations": said("<image>\nWhy?", "So.")},
    {"images": ["a.jpg"], "conversations": said("<image>\nWhy?", "So.")},
    {"images": "a.jpg", "image": None, "messages": chat("<image>\nWhy?", "So.")},
    {"messages": chat([url("a.jpg"), text("\nWhy?")], "So.")},
    {"messages": chat([url("a.jpg"), text("\n"), text("Why?")], [text("So.")])},
    {"messages": chat([{"type": "image", "path": "a.jpg", "text": None}, text("\nWhy?")], "So.")},
    {"messages": chat([{"type": "image"}, text("\nWhy?")], "So."), "images": ["a.jpg"]},
    {"messages": chat([{"type": "image", "value": "a.jpg"}, {"type": "text", "value": "\nWhy?"}], "So.")},
    {
        "messages": chat(
            [{"type": "input_image", "image_url": "a.jpg"}, {"type": "input_text", "text": "\nWhy?"}], "So."
        )
    },
    {"messages": chat([{"image": "file://a.jpg"}, {"text": "\nWhy?"}], "So.")},
    {"messages": chat([url("a.jpg"), text("\nWhy?")], "So."), "images": ["a.jpg"]},
    {"image": "file://a.jpg", "conversations": said("<image>\nWhy?", "So.")},
    {"question": "<image>\nWhy?", "answer": "So.", "image": "a.jpg"},
    {"question": "\nWhy?", "answer": "So.", "images": ["a.jpg"]},
]


@pytest.mark.parametrize("value", SAME)
def test_one_record_in_many_surfaces(value: dict[str, Any]) -> None:
    record = from_json(value)
    assert record.images == (ImageRef("a.jpg"),)
    assert record.messages == (Message("user", "\nWhy?", (0,)), Message("assistant", "So."))
    assert record.extra == {}


def test_default_forms() -> None:
    messages = (Message("system", "s"), Message("user", "ab", (0, 1, 2)), Message("assistant", "c"))
    record = Record((ImageRef("1"), ImageRef("2"), ImageRef("3")), messages, {"k": 1, "id": "n"})
    turns = [
        {"from": "system", "value": "s"},
        {"from": "human", "value": "<image>a<image>b<image>"},
        {"from": "gpt", "value": "c"},
    ]
    names = ["1", "2", "3"]
    assert to_json(record, "llava") == {"id": "n", "image": names, "conversations": turns, "k": 1}
    assert to_json(record, "sharegpt") == {"id": "n", "images": names, "conversations": turns, "k": 1}
    pair = {"system": "s", "question": "<image>a<image>b<image>", "answer": "c"}
    assert to_json(record, "pairs") == {"id": "n", "image": names, **pair, "k": 1}
    parts = [url("1"), text("a"), url("2"), text("b"), url("3")]
    roles = [("system", "s"), ("user", parts), ("assistant", "c")]
    assert to_json(record, "messages") == {
        "id": "n",
        "messages": [{"role": role, "content": content} for role, content in roles],
        "k": 1,
    }


def test_images_of_several_messages_keep_their_order() -> None:
    parts = ([url("1"), text("a"), url("2")], "b", [text("c"), url("3")], "d")
    record = from_json({"messages": chat(*parts)})
    assert [image.name for image in record.images] == ["1", "2", "3"]
    assert [message.image_positions for message in record.messages] == [(0, 1), (), (1,), ()]
    assert to_json(record, "llava")["conversations"] == said("<image>a<image>", "b", "c<image>", "d")
    assert to_json(record, "messages") == {"messages": chat(*parts)}


@pytest.mark.parametrize("field", ["system", "system_prompt"])
@pytest.mark.parametrize("value", [{"conversations": said("a", "b")}, {"messages": chat("a", "b")}])
def test_system_prompt_becomes_a_message(field: str, value: dict[str, Any]) -> None:
    record = from_json({field: "Be brief.", **value})
    assert record.messages[0] == Message("system", "Be brief.")
    assert record.extra == {}
    again = from_json({field: "Be brief.", "conversations": [{"from": "system", "value": "x"}, *said("a", "b")]})
    assert again.messages[0] == Message("system", "x")
    assert again.extra == {field: "Be brief."}


def test_images_without_a_placeholder_stand_before_the_first_question() -> None:
    record = from_json({"images": ["1", "2"], "system": "s", "conversations": said("a", "b", "c", "d")})
    assert [message.image_positions for message in record.messages] == [(), (0, 0), (), (), ()]


def test_values_are_kept_and_not_how_they_were_spelled() -> None:
    value = {"system_prompt": "s", "image": ["a.jpg"], "images": None, "conversations": said("<image>a", "b"), "k": [1]}
    turns = [{"from": "system", "value": "s"}, *said("<image>a", "b")]
    assert to_json(from_json(value), "llava") == {"image": "a.jpg", "conversations": turns, "k": [1]}


@pytest.mark.parametrize("dialect", ["llava", "sharegpt", "messages", "pairs"])
def test_further_fields_of_images_parts_and_messages_are_kept(dialect: str) -> None:
    parts = [url("a.jpg", detail="low"), {"type": "image", "image": {"path": "b.jpg", "width": 7}, "min_pixels": 9}]
    question = [*parts, {"type": "text", "text": "c", "cache_control": {"type": "ephemeral"}}]
    messages = [{"role": "user", "content": question, "name": "N"}, *chat("", "d")[1:]]
    fields = [
        {"part": 1, "detail": "low"},
        {"part": 2, "width": 7, "min_pixels": 9},
        {"part": 3, "cache_control": {"type": "ephemeral"}},
    ]
    expected = Message("user", "c", (0, 0), {"name": "N", "c3l_part_fields": fields})
    record = from_json({"messages": messages})
    assert (record.images, record.messages[0]) == ((ImageRef("a.jpg"), ImageRef("b.jpg")), expected)
    assert from_json(json.loads(json.dumps(to_json(record, dialect)))) == record
    listed = from_json({"images": [{"path": "a.jpg", "width": 3}, {"path": "b.jpg"}], "conversations": said("a", "b")})
    assert listed.extra == {"c3l_image_fields": [{"width": 3}, {}]}
    assert from_json(to_json(listed, dialect)) == listed


def test_literal_placeholder() -> None:
    record = from_json({"messages": chat([text("the tag <image> in HTML"), url("a.jpg")], "It is <img>.")})
    assert record.messages[0] == Message("user", "the tag <image> in HTML", (23,))
    for dialect in ("llava", "sharegpt", "pairs"):
        with pytest.raises(Inexpressible, match="<image>"):
            to_json(record, dialect)
    near = to_json(record, "llava", lossy=True)
    assert near["conversations"][0]["value"] == "the tag <image > in HTML<image>"
    assert from_json({"image": "x", "conversations": said("<ima<image>ge>", "b")}).messages[0].text == "<image>"


def test_a_conversation_is_no_pair() -> None:
    for roles in (["user"], ["user", "assistant"] * 2, ["assistant", "user"], ["user", "tool"]):
        record = Record((), tuple(Message(role, "x") for role in roles))
        with pytest.raises(Inexpressible, match="not turns of"):
            to_json(record, "pairs", lossy=True)


def test_data_urls_carry_the_file() -> None:
    value = {"messages": chat([url("data:image/png;base64,aGVsbG8="), text("?")], "b")}
    record = from_json(value)
    assert record.images == (ImageRef("data:image/png;base64,", b"hello"),)
    assert to_json(record, "messages") == value
    assert to_json(record, "llava")["image"] == "data:image/png;base64,aGVsbG8="
    with pytest.raises(ValueError, match="base64"):
        from_json({"image": "data:image/png;base64,a?", "conversations": said("a", "b")})


def test_a_call_of_a_tool_says_nothing() -> None:
    call: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [{"id": 1}]}
    record = from_json({"messages": [*chat("a"), call]})
    assert record.messages[1] == Message("assistant", "", (), {"tool_calls": [{"id": 1}]})
    assert to_json(record, "messages")["messages"][1] == {**call, "content": ""}


BROKEN: list[tuple[Any, str]] = [
    ([], "must be an object"),
    ({}, "'conversations' is missing"),
    ({"conversations": "x"}, "'conversations' is missing"),
    ({"conversations": []}, "'conversations' is missing"),
    ({"messages": []}, "'messages' is missing"),
    ({"conversations": ["x"]}, "turn 1 must be an object"),
    ({"conversations": [{"from": [], "value": "x"}]}, "turn 1 is from"),
    ({"conversations": [{"value": "x"}]}, "turn 1 is from None"),
    ({"conversations": [{"from": "human"}]}, "turn 1 has no text"),
    ({"conversations": [{"from": "human", "value": None}]}, "turn 1 has no text"),
    ({"conversations": said("<image>\na", "b")}, "but no 'image'"),
    ({"image": 3, "conversations": said("a", "b")}, "'image' must be a path"),
    ({"image": ["a", None], "conversations": said("a", "b")}, "'image' must be a path"),
    ({"image": "a", "images": ["b"], "conversations": said("a", "b")}, "different"),
    ({"image": ["a", "b"], "conversations": said("<image>a", "b")}, "1 times, but 2 images"),
    ({"image": "a", "conversations": said("<image><image>a", "b")}, "2 times, but 1 images"),
    ({"messages": chat([{"type": "box"}], "b")}, "neither text nor image: type 'box'"),
    ({"messages": chat([{"type": "text", "text": None}], "b")}, "neither text nor image"),
    ({"messages": chat([7], "b")}, "neither text nor image"),
    ({"question": 1, "answer": "b"}, "'question' must be a text"),
]


@pytest.mark.parametrize(("value", "says"), BROKEN)
def test_broken_records_say_why(value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_json(value)
