"""Input and output of judges: questions paired with answers, and reviews as JSON lines.

Reviews have the fields of LLaVA-Bench's published files, and `judge` and `order`.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning_c3l.evaluation.benchmarks.answers import AnswerFile
from lightning_c3l.evaluation.benchmarks.base import Answer, Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.llava_w import KIND, llava_w_kind
from lightning_c3l.evaluation.benchmarks.matching import OTHER_VERSION
from lightning_c3l.evaluation.benchmarks.rows import cell_id, read_rows
from lightning_c3l.evaluation.judging.base import ORDERS, REFERENCE_FIRST, UNPARSED, AnswerPair, Review
from lightning_c3l.runs.atomic import write_text_atomic

# ids that a message names
_NAMED = 3


def pair_answer(question: Question, answer: Answer) -> AnswerPair:
    """Pair a question with the final answer to it, without reasoning; a missing answer is an empty text."""
    kind = question.categories.get(KIND, "")
    return AnswerPair(question.id, kind, question.text, question.context, question.reference, answer.final or "")


def pair_answers(questions: QuestionSet, file: AnswerFile) -> list[AnswerPair]:
    """Pair every question with its answer, in the order of the questions.

    Raises:
        ValueError: answers to another version of the questions, unknown, repeated or missing ones; names both files.
    """
    if file.version and file.version != questions.digest:
        raise ValueError(
            f"{file.source} answers version {file.version} of the questions, {questions.source} is {questions.digest}; "
            f"{OTHER_VERSION}"
        )
    answers = {answer.id: answer for answer in file.answers}
    known = {question.id: question for question in questions.questions}
    uses = Counter(answer.id for answer in file.answers)
    for why, ids in (
        ("are answered several times", [name for name, count in uses.items() if count > 1]),
        ("are not among the questions", [name for name in uses if name not in known]),
        ("have no answer", [name for name in known if name not in uses]),
    ):
        if ids:
            some = ", ".join(name or "(no id)" for name in ids[:_NAMED]) + (", ..." if len(ids) > _NAMED else "")
            raise ValueError(f"{file.source}, for {questions.source}: {len(ids)} ids {why}: {some}")
    return [pair_answer(question, answers[name]) for name, question in known.items()]


def write_reviews(path: str | Path, reviews: Iterable[Review]) -> None:
    """Write one row per review, all or none.

    Raises:
        OSError: the file cannot be written.
    """
    rows = (
        {
            "question_id": review.id,
            "category": review.kind,
            "content": review.text,
            "tuple": [review.reference, review.candidate],
            "judge": review.judge,
            "order": review.order,
        }
        for review in reviews
    )
    write_text_atomic(path, "".join(json.dumps(row) + "\n" for row in rows))


def read_reviews(path: str | Path) -> list[Review]:
    """Read reviews: ours, the published ones, or those of LLaVA's first script (`text` and `score`).

    The two ratings are taken from `tuple`, not parsed again: the file may have been written with another rule.

    Raises:
        OSError: the file cannot be read.
        ValueError: names the file, the record and what is wrong.
    """
    reviews = list[Review]()
    records = dict[tuple[str, str, str], int]()
    for number, row in enumerate(read_rows(Path(path)), 1):
        try:
            review = _parse_review(row)
            first = records.setdefault((review.id, review.judge, review.order), number)
            if first != number:
                raise ValueError(f"question {review.id} is already in record {first}; use one file per round")
        except ValueError as error:
            raise ValueError(f"{path}, record {number}: {error}") from None
        reviews.append(review)
    return reviews


def _parse_review(row: dict[str, Any]) -> Review:
    name = cell_id(row.get("question_id"))
    if not name:
        raise ValueError("no question_id")
    order = row.get("order", REFERENCE_FIRST)
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")
    # LLaVA's first reviews have `text` and `score`
    old = "score" in row and "tuple" not in row
    texts = {field: row.get(field, "") for field in ("category", "text" if old else "content", "judge")}
    for field, value in texts.items():
        if not isinstance(value, str):
            raise ValueError(f"{field} is {value!r}, not a text")
    kind, text, judge = texts.values()
    field = "score" if old else "tuple"
    value = row.get(field)
    if isinstance(value, list) and len(value) == 2 and all(type(one) in (int, float) for one in value):
        with suppress(OverflowError):  # an integer beyond any float
            two = (float(value[0]), float(value[1]))
            # other judges may use another scale, but no rating is negative
            if two == UNPARSED or all(math.isfinite(one) and one >= 0 for one in two):
                return Review(name, llava_w_kind(kind), *two, text, judge, order)
    raise ValueError(f"{field} is {value!r}; it must be the ratings of reference and candidate, or [-1, -1]")
