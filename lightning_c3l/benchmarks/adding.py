"""Questions of a file, one by one: an id stands for one question."""

from dataclasses import replace

from lightning_c3l.benchmarks.base import Question


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
