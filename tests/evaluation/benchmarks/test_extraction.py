"""Yes or no, or the letter of an option, from an answer; and the prompt that asks for a letter."""

import math
import time

import pytest

from lightning_c3l.evaluation.benchmarks.base import Question
from lightning_c3l.evaluation.benchmarks.extraction import (
    choice_prompt,
    least_loss,
    only_letter,
    option_letter,
    reference_yes_no,
    strict_yes_no,
)

NUMBERS = {"A": "One", "B": "Two", "C": "Three", "D": "Four"}
UNKNOWN = dict.fromkeys("ABCD", "")
PEOPLE = {"A": "man", "B": "A woman", "C": "child", "D": "A dog and a cat"}
VITAMINS = {"A": "Vitamin A", "B": "Vitamin B", "C": "Vitamin D", "D": "Vitamin C"}
NINE = dict(zip("ABCDEFGHI", ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"], strict=True))


@pytest.mark.parametrize(
    ("text", "reference", "strict"),
    [
        ("Yes", "yes", "yes"),
        ("No", "no", "no"),
        ("no", "no", "no"),
        ("NO", "yes", "no"),  # exactly No or no counts
        ("yes.", "yes", "yes"),
        ("No, there is no book", "no", "no"),
        ("No,there is a book", "yes", "no"),  # without the comma a word of its own: Nothere
        ("There is not a book.", "no", "no"),
        ("Not at all", "yes", "no"),  # exactly not counts
        ("There isn't a book.", "yes", "no"),
        ("There isn\u2019t any", "yes", "no"),
        ("I cannot see one", "yes", "no"),
        ("The picture shows a table. No book.", "yes", "no"),  # only before the first full stop
        ("No. Yes", "no", None),
        ("Yes. No", "yes", None),
        ("Yes and no", "no", None),
        ("yes/no", "yes", None),
        ("Yes, but it isn't red", "yes", None),
        ("", "yes", None),
        (" ", "yes", None),
        ("Maybe", "yes", None),
        ("No\n", "yes", "no"),  # spaces separate, line ends do not
        ("Know", "yes", None),
        ("nothing, yesterday, notable", "yes", None),
        ("**Yes**", "yes", "yes"),
        ("_no_", "yes", "no"),
        ('"No"', "yes", "no"),
        ("The answer is YES!", "yes", "yes"),
        ("won't", "yes", "no"),
        ("not.", "no", "no"),
    ],
)
def test_yes_or_no_by_both_protocols(text: str, reference: str, strict: str | None) -> None:
    assert reference_yes_no(text) == reference
    assert strict_yes_no(text) == strict


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        (" B \n", "B"),
        ("b", "B"),
        ("a", "A"),
        ("a.", "A"),
        ("b)?", "B"),
        ("(b)", "B"),
        ("(b) Two", "B"),
        ("b) Two", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("B)", "B"),
        ("B:", "B"),
        ("[B]", "B"),
        ("**B**", "B"),
        ("_B_", "B"),
        ("'B'", "B"),
        ("\u201cB\u201d", "B"),
        ("A. One", "A"),
        ("A.One", "A"),
        ("A One", "A"),
        ("A: One", "A"),
        ("A\nThere is one.", "A"),
        ("A, because there is one", "A"),
        ("A is right", "A"),
        ("Answer: **C**", "C"),
        ("Answer: C. Three", "C"),
        ("answer:c", "C"),
        ("ANSWER: D", "D"),
        ("**Answer:** B", "B"),
        ("The answer is B", "B"),
        ("The answer is b.", "B"),
        ("The answer is (B).", "B"),
        ("The answer is: option B", "B"),
        ("The answer would be B, and neither A nor C", "B"),
        ("The correct option is B", "B"),
        ("Option D", "D"),
        ("I think it is B", "B"),
        ("It's not A, it's B.", "B"),
        ("not option A but B", "B"),
        ("\u7b54\u6848\u662fB", "B"),
        ("Two", "B"),
        ("two.", "B"),
        ("I see two", "B"),
        ("The answer is two", "B"),
        ("There are three of them", "C"),
        ("A lot: four", "D"),  # an article
        ("B. Two, unlike A.", "B"),  # two letters, one text
        ("", None),
        ("   ", None),
        ("E", None),  # no option
        ("E. Five", None),
        ("A or B", None),
        ("A and B", None),
        ("A/B", None),
        ("The answer is A. The answer is B.", None),
        ("one or two", None),
        ("twofold", None),
        ("Both", None),
        ("A man rides a horse", None),
        ("A", "A"),
        ("a man", None),
        ("T-shirt, B-flat, U.S.A., A.M.", None),
        ("a b", None),
        ("It is not B", None),
        ("It isn't option B", None),
        ("The answer is B or C", None),
        ("The answer is (B) / (C).", None),
        ("The answer is B. C is wrong.", "B"),
        ("neither A nor B", None),
        ("Neither B nor C", None),
        ("It is A nor anything else", "A"),
        ("The correct option is (C) because A shows one", "C"),
        ("The correct choice is B", "B"),
        ("The right option is not B", None),
        ("B\n\nExplanation: A is wrong", "B"),
        ("**(B)**\nThe answer A is wrong", "B"),
        ("A\nB\nC\nD\nAnswer: B", "B"),
        ("A\nB", None),
        ("option b", "B"),
        ("Option: (b).", "B"),
        ("\uff22", "B"),
        ("\u7b54\u6848\uff1a\uff22", "B"),
    ],
)
def test_extraction(text: str, letter: str | None) -> None:
    assert option_letter(text, NUMBERS) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A man", "A"),  # the letter and its text, or the article: the same option
        ("A woman", "B"),
        ("A woman is reading", "B"),
        ("A. man", "A"),
        ("The answer is A woman", "B"),
        ("A child", "C"),
        ("A small child", "C"),
        ("A dog and a cat", "D"),
        ("A dog", None),
        ("C. child", "C"),
        ("A woman and a child", None),
    ],
)
def test_articles_are_no_letters(text: str, letter: str | None) -> None:
    assert option_letter(text, PEOPLE) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [("Vitamin C", "D"), ("It contains Vitamin D.", "C"), ("D. Vitamin C", "D"), ("C", "C"), ("vitamin c", "D")],
)
def test_letters_within_options_are_their_text(text: str, letter: str) -> None:
    assert option_letter(text, VITAMINS) == letter


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("I", "I"),
        ("I.", "I"),
        ("(I)", "I"),
        ("I is right", "I"),
        ("I think B", "B"),
        ("I'm sure: nine", "I"),
        ("I would say seven", "G"),
        ("I see", None),
    ],
)
def test_the_pronoun_is_no_letter(text: str, letter: str | None) -> None:
    assert option_letter(text, NINE) == letter


def test_options_without_known_text_have_letters_alone() -> None:
    assert option_letter("(C) three", UNKNOWN) == "C"
    assert option_letter("three", UNKNOWN) is None
    assert option_letter("A three", UNKNOWN) is None


def test_letters_that_are_options_texts() -> None:
    shown = {"A": "C", "B": "D"}
    assert option_letter("B", shown) == "B"
    assert option_letter("C", shown) == "A"  # C is no option's letter here


def test_texts_are_words_of_their_own() -> None:
    sexes = {"A": "man", "B": "woman"}
    assert option_letter("woman", sexes) == "B"
    assert option_letter("the woman", sexes) == "B"
    counts = {"A": "2", "B": "2.5", "C": "12"}
    assert option_letter("2.5", counts) == "B"
    assert option_letter("It is 12 high", counts) == "C"
    assert option_letter("1,2", counts) is None


def test_an_answer_that_is_an_option_wins_over_a_part_of_it() -> None:
    colours = {"A": "red", "B": "dark red"}
    assert option_letter("Dark red.", colours) == "B"
    assert option_letter("It is dark red", colours) is None  # both texts are contained
    assert option_letter("It is red", colours) == "A"


def test_whole_letter_takes_nothing_else() -> None:
    assert only_letter(" B\n", NUMBERS) == "B"
    for text in ("b", "B.", "B. Two", "(B)", "E", "", "AB"):
        assert only_letter(text, NUMBERS) is None


def test_least_loss_takes_the_first_of_equals() -> None:
    assert least_loss((1.0, 0.5, 0.7, 2.0), NUMBERS) == "B"
    assert least_loss((1.0, 0.5, 0.5, 2.0), NUMBERS) == "B"
    assert least_loss((0.1, 0.1, 0.1, 0.1), NUMBERS) == "A"
    assert least_loss(None, NUMBERS) is None
    assert least_loss((1.0, 0.5), NUMBERS) is None
    assert least_loss((1.0, math.nan, 0.5, 2.0), NUMBERS) is None
    assert least_loss((1.0, math.inf, 0.5, 2.0), NUMBERS) is None
    assert least_loss((), {}) is None


def test_prompt() -> None:
    question = Question("1", "How many?", options={"A": "One", "B": "Two"}, hint="Look well.")
    asked = "Answer with the option's letter from the given choices directly."
    assert choice_prompt(question) == f"Look well.\nHow many?\nA. One\nB. Two\n{asked}"
    assert choice_prompt(Question("1", "Q?", options={"A": "x"})) == f"Q?\nA. x\n{asked}"


def test_texts_with_letters_are_taken_in_any_case() -> None:
    vitamins = {"A": "Vitamin C", "B": "Vitamin D", "C": "Vitamin A"}
    for text in ("Answer: vitamin C", "It shows vitamin C.", "VITAMIN C"):
        assert option_letter(text, vitamins) == "A"
    assert option_letter("Vitamin C", {"A": "vitamin c", "C": "vitamin a"}) == "A"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("-1", None),
        ("\u22121", None),
        (".1", None),
        ("10:2", None),
        ("2:10", None),
        ("1/2", None),
        ("1-2", None),
        ("It is 2.", "C"),
        ("Answer:2", "C"),
        ("(3)", "D"),
    ],
)
def test_numbers_are_no_parts_of_others(text: str, letter: str | None) -> None:
    assert option_letter(text, dict(zip("ABCD", "0123", strict=True))) == letter


def test_words_may_stand_beside_numbers() -> None:
    colours = {"A": "red", "B": "blue"}
    assert [option_letter(text, colours) for text in ("2:red", "red/2", "red-1")] == ["A"] * 3


@pytest.mark.parametrize("unit", ["A ", "a ", "B ", "I ", "not B ", "answer is A ", " ", "\n", "(", "*"])
def test_long_answers_take_no_time(unit: str) -> None:
    text = "The answer" + unit * (200_000 // len(unit))
    began = time.process_time()
    option_letter(text, NINE)
    assert time.process_time() - began < 3  # with quadratic time: minutes
