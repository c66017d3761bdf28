"""Templates of prompts."""

import pytest

from lightning_c3l.evaluation.benchmarks.base import Question
from lightning_c3l.evaluation.prompt_template import check_template, fill_template, question_with_hint

QUESTION = Question("1", "Which {one}?", options={"A": "red", "C": "blue"}, hint="Look.")


def test_templates_are_fill_template() -> None:
    assert fill_template("{hint}\n{question}\n{options}\nThe letter:", QUESTION) == (
        "Look.\nWhich {one}?\nA. red\nC. blue\nThe letter:"
    )
    # what a question has not leaves no empty line at the ends
    assert fill_template("{hint}\n{question}", Question("2", "What?")) == "What?"
    assert question_with_hint(QUESTION) == "Look.\nWhich {one}?"
    assert question_with_hint(Question("2", "What?")) == "What?"


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("What?", "{question} is missing"),
        ("{question} {answer}", "{answer} is unknown"),
        ("{question} {}", "{} is unknown"),
        ("{question.__class__}", "{question.__class__} is unknown"),
        ("{question:{question}}", "{question} is unknown"),
        ("{question", "expected '}'"),
        ("{question} }", "written twice"),
    ],
)
def test_other_templates_are_refused_by_what_is_wrong(template: str, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_template(template)
    assert said in str(refused.value)
