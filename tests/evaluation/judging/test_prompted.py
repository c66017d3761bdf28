"""What all judges of words share: the cache, both orders, and what is said when replies are missing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lightning_c3l.evaluation.judging.base import JudgeError
from lightning_c3l.evaluation.judging.cache import Replies
from lightning_c3l.evaluation.judging.prompted import PromptedJudge
from tests.evaluation.judging.samples import pair, pairs


class Biased:
    """Gives the first answer 9 and the second 4, whatever they are.

    Args:
        silent: numbers of the questions that it does not reply to.
        name: what it is called.
    """

    def __init__(self, *silent: int, name: str = "biased") -> None:
        self.name, self.silent = name, silent
        self.asked: list[str] = []

    def ask(self, prompts: Mapping[str, str], keep: Callable[[str, str], object]) -> dict[str, str]:
        problems = {}
        for key, prompt in prompts.items():
            self.asked.append(prompt)
            number = int(re.findall(r"question (\d+)\?", prompt)[0])
            if number in self.silent:
                problems[key] = "says nothing"
            else:
                keep(key, f"9 4\nquestion {number}")
        return problems


def test_one_order() -> None:
    reviews = PromptedJudge(Biased(), None).review(pairs(2))
    assert [(one.id, one.kind, one.reference, one.candidate, one.judge, one.order) for one in reviews] == [
        ("q1", "conv", 9, 4, "biased", "reference first"),
        ("q2", "conv", 9, 4, "biased", "reference first"),
    ]
    assert [one.text for one in reviews] == ["9 4\nquestion 1", "9 4\nquestion 2"]


def test_both_orders_even_out_a_bias_for_the_place() -> None:
    reviews = PromptedJudge(Biased(), None).review(pairs(2), both_orders=True)
    assert [(one.id, one.order, one.reference, one.candidate) for one in reviews] == [
        ("q1", "reference first", 9, 4),
        ("q1", "candidate first", 4, 9),
        ("q2", "reference first", 9, 4),
        ("q2", "candidate first", 4, 9),
    ]


def test_a_reply_that_cannot_be_read() -> None:
    class Chatty(Biased):
        def ask(self, prompts: Mapping[str, str], keep: Callable[[str, str], object]) -> dict[str, str]:
            for key in prompts:
                keep(key, "I would say 8 and 9.")
            return {}

    for review in PromptedJudge(Chatty(), None).review(pairs(1), both_orders=True):
        assert (review.reference, review.candidate, review.parsed) == (-1, -1, False)
        assert review.text == "I would say 8 and 9."


@pytest.mark.parametrize("field", ["question", "context", "reference", "candidate"])
def test_asks_again_only_where_something_differs(tmp_path: Path, field: str) -> None:
    first = PromptedJudge(Biased(), tmp_path).review(pairs(3))
    again = Biased()
    assert PromptedJudge(again, tmp_path).review(pairs(3)) == first
    assert again.asked == []
    changed = [*pairs(2), replace(pair(3), **{field: "another question 3?"})]
    PromptedJudge(again, tmp_path).review(changed)
    assert len(again.asked) == 1


def test_asks_again_for_another_judge_and_order(tmp_path: Path) -> None:
    PromptedJudge(Biased(), tmp_path).review(pairs(2))
    other, orders = Biased(name="other"), Biased()
    assert PromptedJudge(other, tmp_path).review(pairs(2))[0].judge == "other"
    assert len(other.asked) == 2
    PromptedJudge(orders, tmp_path).review(pairs(2), both_orders=True)
    assert len(orders.asked) == 2
    assert all("[BEGIN ASSISTANT 1" in prompt and "]\na cat\n[END ASSISTANT 1" in prompt for prompt in orders.asked)


def test_orders_are_told_apart_where_both_answers_are_the_same(tmp_path: Path) -> None:
    judge = Biased()
    PromptedJudge(judge, tmp_path).review([pair(1, candidate="a dog")], both_orders=True)
    assert len(judge.asked) == 2


def test_the_same_pair_twice_is_asked_once() -> None:
    judge = Biased()
    reviews = PromptedJudge(judge, None).review([pair(1), replace(pair(1), id="again")])
    assert [one.id for one in reviews] == ["q1", "again"]
    assert len(judge.asked) == 1


def test_one_silence_loses_no_other_reply(tmp_path: Path) -> None:
    with pytest.raises(
        JudgeError, match=r"question q2: says nothing; 2 of 5 reviews are missing.*same command goes on"
    ):
        PromptedJudge(Biased(2, 4), tmp_path).review(pairs(5))
    again = Biased()
    assert len(PromptedJudge(again, tmp_path).review(pairs(5))) == 5
    assert [int(re.findall(r"question (\d+)\?", prompt)[0]) for prompt in again.asked] == [2, 4]


def test_a_spoilt_cache_is_asked_for_again(tmp_path: Path) -> None:
    PromptedJudge(Biased(), tmp_path).review(pairs(3))
    [file] = tmp_path.glob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(lines[0] + lines[1].replace(b"9 4", b"1 9") + lines[2][:-10])
    again = Biased()
    assert [one.reference for one in PromptedJudge(again, tmp_path).review(pairs(3))] == [9, 9, 9]
    assert len(again.asked) == 2


def test_two_that_write_at_once_keep_both(tmp_path: Path) -> None:
    one, two = Replies(tmp_path), Replies(tmp_path)
    for number in range(50):
        one.keep(f"a{number}", "judge", "9 4" * number)
        two.keep(f"b{number}", "judge", "4 9" * number)
    # nothing was closed: as after a kill
    kept = Replies(tmp_path)
    assert all(kept.get(f"a{number}") == "9 4" * number for number in range(50))
    assert all(kept.get(f"b{number}") == "4 9" * number for number in range(50))
    one.close()
    two.close()
