"""Questions of a file, one by one: what each needs, and that an id stands for one question."""

from collections.abc import Mapping
from dataclasses import replace

from lightning_c3l.evaluation.benchmarks.base import Question


def add_question(found: dict[str, Question], question: Question, place: str) -> None:
    """Add a question under its id; one that is there already, word for word, is left out.

    Args:
        found: questions so far, by id.
        question: the next one.
        place: file and record, for the message.

    Raises:
        ValueError: another question has the id.
    """
    first = found.setdefault(question.id, question)
    # the same picture may lie in two cells
    if replace(first, image=None) != replace(question, image=None):
        raise ValueError(f"{place}: question {question.id} is there already, and it is another one")


def check_fields(place: str, fields: Mapping[str, str]) -> None:
    """Refuse a question that lacks something.

    Args:
        place: file and record, for the message.
        fields: what was read of each field; empty where it is missing or empty.

    Raises:
        ValueError: names the fields that are.
    """
    if missing := [name for name, value in fields.items() if not value]:
        raise ValueError(f"{place}: a question needs {', '.join(fields)}; missing or empty: {', '.join(missing)}")
