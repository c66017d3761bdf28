"""Templates of prompts."""

import pytest

from lightning_c3l.evaluation.benchmarks.base import Question
from lightning_c3l.evaluation.prompt_template import bare, check_template, filled_in

QUESTION = Question("1", "Which {one}?", options={"A": "red", "C": "blue"}, hint="Look.")


def test_templates_are_filled_in() -> None:
    assert filled_in("{hint}\n{question}\n{options}\nThe letter:", QUESTION) == (
        "Look.\nWhich {one}?\nA. red\nC. blue\nThe letter:"
    )
    # what a question has not leaves no empty line at the ends
    assert filled_in("{hint}\n{question}", Question("2", "What?")) == "What?"
    assert bare(QUESTION) == "Look.\nWhich {one}?"
    assert bare(Question("2", "What?")) == "What?"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("What?", "{question} is missing"),
        ("{question} {answer}", "{answer} is not known"),
        ("{question} {}", "{} is not known"),
        ("{question.__class__}", "{question.__class__} is not known"),
        ("{question:{question}}", "{question} is not known"),
        ("{question", "expected '}'"),
        ("{question} }", "written twice"),
    ],
)
def test_other_templates_are_refused_by_what_is_wrong(template: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_template(template)
    assert said in str(refused.value)
