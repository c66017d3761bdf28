"""Reviews as JSON lines: the fields of LLaVA-Bench's published files, and `judge` and `order` beside them."""

import json
import math
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning_c3l.evaluation.benchmarks.llava_w import question_kind
from lightning_c3l.evaluation.benchmarks.rows import cell_id, read_rows
from lightning_c3l.evaluation.judging.base import ORDERS, REFERENCE_FIRST, UNPARSED, Review
from lightning_c3l.runs.atomic import write_text_atomic


def write_reviews(path: str | Path, reviews: Iterable[Review]) -> None:
    """Write a row for each review, all or none.

    Raises:
        OSError: the file cannot be written.
    """
    write_text_atomic(path, "".join(json.dumps(_row(review)) + "\n" for review in reviews))


def read_reviews(path: str | Path) -> list[Review]:
    """Read reviews: ours, the published ones, or those of LLaVA's first script (`text` and `score`).

    The two numbers are taken as they stand in `tuple`: who wrote the file may have read its replies by another rule.

    Raises:
        OSError: the file cannot be read.
        ValueError: names the file, the record and what is wrong.
    """
    reviews = list[Review]()
    records = dict[tuple[str, str, str], int]()
    for number, row in enumerate(read_rows(Path(path)), 1):
        try:
            review = _review(row)
            before = records.setdefault((review.id, review.judge, review.order), number)
            if before != number:
                raise ValueError(f"question {review.id} is record {before} already; give each round its own file")
        except ValueError as error:
            raise ValueError(f"{path}, record {number}: {error}") from None
        reviews.append(review)
    return reviews


def _row(review: Review) -> dict[str, Any]:
    return {
        "question_id": review.id,
        "category": review.kind,
        "content": review.text,
        "tuple": [review.reference, review.candidate],
        "judge": review.judge,
        "order": review.order,
    }


def _review(row: dict[str, Any]) -> Review:
    name = cell_id(row.get("question_id"))
    if not name:
        raise ValueError("no question_id")
    order = row.get("order", REFERENCE_FIRST)
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; known are {', '.join(ORDERS)}")
    # LLaVA's first reviews have `text` and `score`
    old = "score" in row and "tuple" not in row
    kind, text, judge = (_text(row, field) for field in ("category", "text" if old else "content", "judge"))
    return Review(name, question_kind(kind), *_numbers("score" if old else "tuple", row), text, judge, order)


def _text(row: dict[str, Any], field: str) -> str:
    value = row.get(field, "")
    if not isinstance(value, str):
        raise ValueError(f"{field} is {value!r}, no text")
    return value


def _numbers(field: str, row: dict[str, Any]) -> tuple[float, float]:
    """Marks of reference and candidate; other judges' scales may differ, but no mark is negative."""
    value = row.get(field)
    if isinstance(value, list) and len(value) == 2 and all(type(one) in (int, float) for one in value):
        with suppress(OverflowError):  # a whole number that no float can hold
            two = (float(value[0]), float(value[1]))
            if two == UNPARSED or all(math.isfinite(one) and one >= 0 for one in two):
                return two
    raise ValueError(f"{field} is {value!r}; it must be the marks of reference and candidate, or [-1, -1]")
