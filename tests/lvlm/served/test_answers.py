"""Answers as completions, and token rows."""

from typing import Any

import pytest

from lightning_c3l.lvlm.base import LVLMError, Sampling
from lightning_c3l.lvlm.external import RequestOptions
from lightning_c3l.lvlm.served.answers import check_prompt, completions_of
from lightning_c3l.lvlm.served.pool import ServerFailure

IMAGE = 90
OPTIONS, SAMPLING = RequestOptions((2,), (IMAGE,)), Sampling(samples=2, max_new_tokens=4)
ROW = (1, 5, IMAGE, IMAGE, IMAGE, 6, 7)


def choice(index: int, text: Any, **more: Any) -> dict[str, Any]:
    return {"index": index, "message": {"content": text}, "finish_reason": "stop", **more}


def test_completions_come_in_their_order() -> None:
    answer = {"choices": [choice(1, " b\n"), choice(0, None, token_ids=[2])]}
    assert completions_of("u", answer, SAMPLING) == ["", "b"]
    whole = {"choices": [choice(n, "a b c d", finish_reason="length", token_ids=[4, 5, 6, 7]) for n in range(2)]}
    assert completions_of("u", whole, SAMPLING) == ["a b c d"] * 2


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"choices": None},
        {"choices": ["a", "b"]},
        {"choices": [choice(0, "a")]},
        {"choices": [choice(0, "a"), choice(0, "b")]},
        {"choices": [choice(0, "a"), choice(1, "b"), choice(2, "c")]},
        {"choices": [choice(0, "a"), choice(1, 3)]},
        {"choices": [choice(0, "a"), choice(1, None, token_ids=[5, 6, 2])]},
        {"choices": [choice(0, "a"), choice(1, "b", message="b")]},
        {"choices": [choice(0, "a"), choice(1, "b", finish_reason="abort")]},
        {"choices": [choice(0, "a"), choice(1, "b", finish_reason=["stop"])]},
        {"choices": [choice(0, "a"), {**choice(1, "b"), "index": None}]},
        {"choices": [choice(0, "a"), choice(1, "b" * 10_000)]},
    ],
)
def test_other_answers_are_failures(answer: dict[str, Any]) -> None:
    with pytest.raises(ServerFailure):
        completions_of("u", answer, SAMPLING)


def test_settings_that_leave_text_out_are_named() -> None:
    short = {"choices": [choice(0, "a b", finish_reason="length", token_ids=[4, 5]), choice(1, "b")]}
    with pytest.raises(LVLMError, match=r"after 2 of max_new_tokens 4.*--max-model-len"):
        completions_of("http://u", short, SAMPLING)
    thoughts = {"choices": [choice(0, "a", message={"content": "a", "reasoning": "since"}), choice(1, "b")]}
    with pytest.raises(LVLMError, match=r"http://u.*--reasoning-parser"):
        completions_of("http://u", thoughts, SAMPLING)


def test_equal_rows_pass() -> None:
    check_prompt("u", {"prompt_token_ids": list(ROW)}, ROW, OPTIONS)


@pytest.mark.parametrize(
    ("row", "position", "cause"),
    [
        (
            (1, 5, IMAGE, IMAGE, 6, 7),
            r"position 4 holds token 6 there and 90 here \(6 and 7 tokens, 2 and 3",
            "image pro",
        ),
        ((1, 5, *[IMAGE] * 9, 6, 7), "position 5 holds token 90 there and 6 here", "image processor"),
        ((1, 8, IMAGE, IMAGE, IMAGE, 6, 7), "position 1 holds token 8 there and 5 here", "chat template"),
        ((*ROW, 3), r"position 7 holds token 3 there and none here \(8 and 7 tokens\)", "tokenizer"),
        ((IMAGE, IMAGE, IMAGE, 1, 5, 6, 7), "position 0 holds token 90 there and 1 here", "content-format openai"),
    ],
)
def test_the_first_difference_of_rows_and_its_cause_are_named(row: tuple[int, ...], position: str, cause: str) -> None:
    with pytest.raises(LVLMError, match=f"http://u: reads a prompt as other tokens.*{position}.*{cause}"):
        check_prompt("http://u", {"prompt_token_ids": list(row)}, ROW, OPTIONS)


def test_rows_must_be_there() -> None:
    with pytest.raises(LVLMError, match=r"generator\.api: openai"):
        check_prompt("http://u", {}, ROW, OPTIONS)
    with pytest.raises(ServerFailure):
        check_prompt("http://u", {"prompt_token_ids": ["1"]}, ROW, OPTIONS)
