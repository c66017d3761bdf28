"""Templates and the parsing of what a model wrote."""

import json
from collections import Counter
from importlib.resources import files
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_c3l.records import Instruction
from lightning_c3l.rounds.templates import SHIPPED, Parsed, assign, load_templates, nothing_parsed, parse

RINGS = ("What color are the rings?", "red")
GOOD = {
    "Question: What color are the rings?\nAnswer: red": RINGS,
    "question: What color are the rings?\nanswer: red": RINGS,
    "QUESTION: What color are the rings?\n\n\nANSWER: red\n": RINGS,
    "Q: What color are the rings?\nA: red": RINGS,
    "Question: What color are the rings? Answer: red": RINGS,
    "**Question:** What color are the rings?\n**Answer:** red": RINGS,
    "**Question**: What color are the rings?\n**Answer**: red": RINGS,
    "__Question:__ What color are the rings?\n__Answer:__ red": RINGS,
    "### Question: What color are the rings?\n### Answer: red": RINGS,
    "> Question: What color are the rings?\n> Answer: red": RINGS,
    "- Question: What color are the rings?\n- Answer: red": RINGS,
    "1. Question: What color are the rings?\n   Answer: red": RINGS,
    "(1) Question: What color are the rings?\nAnswer: red": RINGS,
    "Question 1: What color are the rings?\nAnswer 1: red": RINGS,
    "Sure! Here is one.\n\nQuestion: What color are the rings?\nAnswer: red": RINGS,
    "Question:\nWhat color are the rings?\nAnswer:\nred": RINGS,
    'Question: "What color are the rings?"\nAnswer: "red"': RINGS,
    "Question: What color are the rings?\r\nAnswer: red\r\n": RINGS,
    "Q: What color are the rings?\nA: red\nQ: Where?\nA: here": RINGS,
    "1. Q: What color are the rings?\nA: red\n2. Q: Where?\nA: here": RINGS,
    '{"question": "What color are the rings?", "answer": "red"}': RINGS,
    '{"Answer": "red", "Question": "What color are the rings?", "more": 1}': RINGS,
    '[{"question": "What color are the rings?", "answer": "red"}, {"question": "x", "answer": "y"}]': RINGS,
    'Here:\n```json\n{"question": "What color are the rings?", "answer": "red"}\n```\nDone.': RINGS,
    '```\n{"question": "What color are the rings?", "answer": "red"}\n```': RINGS,
    '{"question": "What color are the rings?", "answer": "red"} and so on': RINGS,
    "Question: What color\nare the rings?\nAnswer: red": RINGS,
    "Question: Why?\nAnswer: First this.\nThen that.\n\nAt last: those.": (
        "Why?",
        "First this. Then that. At last: those.",
    ),
    "Question: Is it plan A: yes or no?\nAnswer: yes": ("Is it plan A: yes or no?", "yes"),
    "Question: What does the sign Q: mean?\nAnswer: quiet": ("What does the sign Q: mean?", "quiet"),
    "Question: Why?\nAnswer: the label says A: b": ("Why?", "the label says A: b"),
    "Question: What time is it?\nAnswer: 10:30": ("What time is it?", "10:30"),
    "Question: Qu'est-ce que c'est\u202f?\nAnswer: été 🙂": ("Qu'est-ce que c'est ?", "été 🙂"),
    "Question: 'it''s'?\nAnswer: don't": ("'it''s'?", "don't"),
}
BAD = {
    "": "empty text",
    " \n\t": "empty text",
    "two red rings": "no question label",
    "Answer: red": "no question label",
    "Question: What color are the rings?": "no answer label",
    "Question: What?\nQuestion: Where?\nAnswer: here": "no answer label",
    "Question:\nAnswer: red": "empty question",
    "Question: What?\nAnswer:": "empty answer",
    "Question: What?\nAnswer: **": "empty answer",
    'Question: ""\nAnswer: red': "empty question",
    "Question: Red\nAnswer: red": "answer repeats the question",
    "Question: What is in <image>?\nAnswer: red": "holds an image mark",
    "Question: What?\nAnswer: <image>": "holds an image mark",
    "Question: " + "why " * 81 + "\nAnswer: red": "question too long",
    "Question: Why?\nAnswer: " + "so " * 401: "answer too long",
    '{"question": 3, "answer": "red"}': "no question label",
    '{"question": "What?"}': "no question label",
    "[]": "no question label",
    "{" * 3000: "no question label",
    "[" * 100_000: "no question label",
}


@pytest.mark.parametrize("text", GOOD)
def test_parse(text: str) -> None:
    assert parse(text) == Parsed(*GOOD[text])


@pytest.mark.parametrize("text", BAD)
def test_parse_says_why_not(text: str) -> None:
    assert parse(text) == Parsed(rejected=BAD[text])


def test_longest_texts_that_are_kept() -> None:
    assert parse("Question: " + "why " * 80 + "\nAnswer: " + "so " * 400).rejected == ""


PIECES = st.sampled_from(
    ["Question:", "Answer:", "Q:", "A:", "\n", " ", "**", "1.", "```json", "```", '{"question"', ":"]
)


@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=5))).map("".join)))
def test_parse_never_raises_and_is_one_or_the_other(text: str) -> None:
    parsed = parse(text)
    assert bool(parsed.rejected) != bool(parsed.question and parsed.answer)
    assert "\n" not in parsed.question + parsed.answer


WORDS = st.lists(st.text("abcdefghij", min_size=2, max_size=8), min_size=1, max_size=6).map(" ".join)


@settings(deadline=None)
@given(WORDS, WORDS)
def test_what_was_written_by_the_rules_comes_back(question: str, answer: str) -> None:
    if question == answer:
        return
    expected = Parsed(f"{question}?", answer)
    assert parse(f"Question: {question}?\nAnswer: {answer}") == expected
    assert parse(json.dumps({"question": f"{question}?", "answer": answer})) == expected


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_templates_load(name: str) -> None:
    templates = load_templates(name)
    assert len({t.kind for t in templates}) >= 3
    assert len(set(templates)) == len(templates)


def test_every_shipped_file_is_named() -> None:
    folder = files("lightning_c3l.rounds").joinpath("shipped_templates")
    assert {Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".yaml")} == set(SHIPPED)


def test_scene_templates_are_what_the_base_was_trained_on() -> None:
    from lightning_c3l.scenes.curriculum import INSTRUCTIONS

    assert load_templates("scenes") == [Instruction(kind, text) for kind, text in INSTRUCTIONS.items()]


def test_a_users_file(tmp_path: Path) -> None:
    file = tmp_path / "own.yaml"
    file.write_text("- {kind: a, text: ' Write. '}\n- kind: b\n  text: |\n    Two\n    lines\n", encoding="utf-8")
    assert load_templates(str(file)) == [Instruction("a", "Write."), Instruction("b", "Two\nlines")]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"- {kind: a, text: b}\n- {kind: a}", "entry 2 must have exactly"),
        (b"- {kind: a, text: b}\n- {kind: a, text: b, more: c}", "entry 2 must have exactly"),
        (b"- {kind: a, text: b}\n- words", "entry 2 must have exactly"),
        (b"- {kind: a, text: ''}", "entry 1 has an empty"),
        (b"- {kind: ' ', text: b}", "entry 1 has an empty"),
        (b"kind: a", "is a list"),
        (b"[]", "is a list"),
        (b"", "is a list"),
        (b"- {kind: [", "not YAML"),
        (b"- {kind: a, text: \xff}", "not UTF-8"),
    ],
)
def test_errors_name_the_file_and_the_entry(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=problem) as caught:
        load_templates(str(file))
    assert str(caught.value).startswith(f"{file}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_choices(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="general, scenes, park, easy_vqa"):
        load_templates(str(tmp_path / "none.yaml"))


FOUR = [Instruction(kind, kind) for kind in "abcd"]


@pytest.mark.parametrize("per_image", [1, 2, 3, 4])
def test_assign_balances_kinds(per_image: int) -> None:
    chosen = assign(FOUR, 8, per_image)
    assert [len({i.kind for i in own}) for own in chosen] == [per_image] * 8
    assert Counter(i.kind for own in chosen for i in own) == dict.fromkeys("abcd", 2 * per_image)


def test_assign_gives_all_by_default() -> None:
    assert assign(FOUR, 2, None) == [FOUR, FOUR]
    assert assign(FOUR, 0, None) == []


@pytest.mark.parametrize("per_image", [1, 2, None])
def test_assign_takes_wordings_in_turn(per_image: int | None) -> None:
    both = [Instruction(kind, f"{kind}{n}") for kind in "ab" for n in range(2)]
    chosen = assign(both, 8, per_image)
    counts = Counter(i.text for own in chosen for i in own)
    assert counts == dict.fromkeys(("a0", "a1", "b0", "b1"), 2 * (per_image or 2))


@pytest.mark.parametrize("per_image", [None, 1, 2, 3])
@pytest.mark.parametrize("bounds", [(0, 20), (0, 1, 20), (0, 7, 8, 15, 20), tuple(range(21))], ids=len)
def test_assign_gives_parts_what_it_gives_the_whole(per_image: int | None, bounds: tuple[int, ...]) -> None:
    wordings = {"a": 1, "b": 3, "c": 2}
    templates = [Instruction(kind, f"{kind}{n}") for kind, count in wordings.items() for n in range(count)]
    whole = assign(templates, 20, per_image)
    assert len({i.text for own in whole for i in own}) == 6
    found = [assign(templates, stop - start, per_image, start) for start, stop in pairwise(bounds)]
    assert [own for part in found for own in part] == whole


@pytest.mark.parametrize("per_image", [0, 5, -1])
def test_assign_refuses_more_kinds_than_there_are(per_image: int) -> None:
    with pytest.raises(ValueError, match="between 1 and 4"):
        assign(FOUR, 3, per_image)


def test_what_to_change_where_nothing_could_be_parsed() -> None:
    said = nothing_parsed("mine.yaml", ["", "The rings are\n\x1b[31mred. " + "a" * 500, "Question: what?"])
    assert said == (
        "none of 3 texts holds a question and its answer. The templates (mine.yaml) must ask for the form "
        "'Question: ... Answer: ...', or for JSON with the keys question and answer; one of the texts is "
        f"{'The rings are' + chr(10) + '[U+001B][31mred. ' + 'a' * 96 + chr(8230)!r} (no question label)"
    )
    assert nothing_parsed("mine.yaml", ["", ""]).endswith("one of the texts is '' (empty text)")
    assert nothing_parsed("mine.yaml", []) == "no text was written, since the LVLM could take none of the images"
