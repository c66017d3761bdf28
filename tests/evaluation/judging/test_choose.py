"""The judge that options name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.cli.options import parse_options
from lightning_c3l.evaluation.judging.base import AnswerPair, Review
from lightning_c3l.evaluation.judging.choose import JudgeChoice, make_judge
from tests.evaluation.judging.samples import pairs


class Even:
    """A judge that finds all answers equal."""

    name = "even"

    def review(self, pairs: Sequence[AnswerPair], both_orders: bool = False) -> list[Review]:
        """Fives."""
        return [Review(one.id, one.kind, 5.0, 5.0, "5 5", self.name) for one in pairs]


class NoJudge:
    """Has a name alone."""

    name = "nobody"


class Picky:
    """Needs an option."""

    def __init__(self, option: str) -> None:
        self.name = option


def chosen(*words: str, cache: Path | None = None) -> Any:
    return make_judge(parse_options("judge", JudgeChoice, words), cache)


def test_an_endpoint() -> None:
    judge = chosen("--judge-model", "gpt", "--judge-url", "http://Judge.example:8000/v1/")
    assert judge.name == "gpt (judge.example:8000/v1)"


def test_a_class() -> None:
    judge = chosen("--judge-class", f"{__name__}.Even")
    assert [one.judge for one in judge.review(pairs(2))] == ["even", "even"]


def test_a_checkpoint(tiny_checkpoint: Path) -> None:
    name = chosen("--judge-checkpoint", str(tiny_checkpoint)).name
    # told apart from other weights by the same name
    assert name.startswith(f"{tiny_checkpoint.name} (")
    assert str(tiny_checkpoint.parent) not in name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give one judge"),
        (["--judge-model", "a", "--judge-class", "b.C"], "give one judge"),
        (["--judge-class", "b.C", "--judge-url", "http://judge.example/v1"], "--judge-url goes with --judge-model"),
        (
            ["--judge-class", "no.such.module.Judge"],
            "--judge-class no.such.module.Judge: no module no in the",
        ),
        (["--judge-class", f"{__name__}.Missing"], "has no attribute Missing"),
        (["--judge-class", "Judge"], "must be module.attribute"),
        (
            ["--judge-class", f"{__name__}.Picky"],
            "cannot be used as a judge: it must be possible to call it without arguments, but: missing a required",
        ),
        (["--judge-class", f"{__name__}.NoJudge"], "cannot be used as a judge: it needs `name`"),
        (["--judge-checkpoint", "/no/such/folder"], "/no/such/folder"),
        (["--judge-model", "a", "--judge-url", ""], "--judge-url is empty"),
        (["--judge-model", "a", "--concurrency", "0"], "--concurrency"),
    ],
)
def test_what_cannot_be_had(words: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        chosen(*words)
