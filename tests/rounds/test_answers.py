"""The answers of the language prior, in the form of the text that their question is from."""

import pytest

from lightning_c3l.records import Candidate, Instruction
from lightning_c3l.rounds.answers import other_answer

ASK = Instruction("color", "Write about a color.")


def candidate(text: str, answer: str = "red") -> Candidate:
    return Candidate("a.png", ASK, 1, text, "What color is it?", answer)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Question: What color is it?\nAnswer: red", "Question: What color is it?\nAnswer: dark blue"),
        ("Q: What color is it? Answer: red\n\n", "Q: What color is it? Answer: dark blue\n\n"),
        (
            '{"question": "What color is it?", "answer": "red"}',
            '{"question": "What color is it?", "answer": "dark blue"}',
        ),
        # what follows says it again: the labels alone are sure to be read as meant
        (
            "Question: What color is it?\nAnswer: red\nQuestion: Is it red?\nAnswer: red",
            "Question: What color is it?\nAnswer: dark blue",
        ),
    ],
)
def test_the_form_of_the_text_is_kept(text: str, expected: str) -> None:
    other = other_answer(candidate(text), " dark\nblue ", "blind", 5)
    assert other == Candidate("a.png", ASK, 5, expected, "What color is it?", "dark blue", "", "blind")


def test_an_answer_that_was_tidied_is_labelled() -> None:
    other = other_answer(candidate("Question: What color is it?\nAnswer: dark  red", "dark red"), "blue", "shuffled", 2)
    assert other.text == "Question: What color is it?\nAnswer: blue"
    # a quotation mark would end the text of the JSON
    text = '{"question": "What color is it?", "answer": "red"}'
    assert (
        other_answer(candidate(text), 'so "blue"!', "blind", 2).text
        == 'Question: What color is it?\nAnswer: so "blue"!'
    )


@pytest.mark.parametrize(("text", "reason"), [("", "empty answer"), ("<image> blue", "holds an image mark")])
def test_what_is_no_answer_is_rejected(text: str, reason: str) -> None:
    other = other_answer(candidate("Question: What color is it?\nAnswer: red"), text, "blind", 2)
    assert (other.text, other.rejected, other.origin) == (text, reason, "blind")
