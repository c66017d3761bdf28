"""Which cell of an answer file's row holds what: every tool names its columns in its own way.

Known are our own rows, LLaVA's JSON lines, VLMEvalKit's tables, POPE's official form, the GPT-4V answers that
SEED-Bench published, and what `other_tools` makes of the rows of lmms-eval and EvalScope. `answer` is the truth where a
row has another field for what the LVLM wrote, else it is what the LVLM wrote.
"""

import math
from contextlib import suppress
from typing import Any

from lightning_c3l.evaluation.benchmarks.base import Answer, Question
from lightning_c3l.evaluation.benchmarks.cells import id_of, short, text_of
from lightning_c3l.evaluation.benchmarks.final_answer import TEXTS
from lightning_c3l.evaluation.benchmarks.mmbench import mmbench_categories, option_columns
from lightning_c3l.evaluation.benchmarks.other_tools import message_text
from lightning_c3l.evaluation.benchmarks.pope import splits_of
from lightning_c3l.evaluation.benchmarks.rows import Row
from lightning_c3l.evaluation.benchmarks.seed import LETTERS, seed_categories, seed_options

_IDS = ("question_id", "index", "id")
_OUTPUTS = ("prediction", "pred", "response", "output", "filtered_resps", "resps")
_TRUTHS = ("truth", "gt_answer", "ground_truth", "gt", "label", "target")
# fields that a message shows
_SHOWN = 12
MODELS = ("model_id", "model")


def row_id(row: Row) -> str:
    """The question's id as the row has it, empty where it has none."""
    return next((found for name in _IDS if (found := id_of(row.get(name)))), "")


def answer_of(place: str, row: Row) -> Answer:
    """What the LVLM said; its id is the row's.

    Raises:
        ValueError: neither text nor losses are there, or the losses are no numbers.
    """
    field, losses = _output(row), _losses(place, row.get("losses"))
    problem = text_of(row.get("problem"))
    if field is None and losses is None and not problem:
        raise ValueError(
            f"{place}: no answer in it: none of text, {', '.join(_OUTPUTS)}, answer, losses is among its fields "
            f"{', '.join(short(name, 30) for name in list(row)[:_SHOWN])}{', ...' if len(row) > _SHOWN else ''}"
        )
    value = None if field is None else _written(f"{place}: {field}", row[field])
    # an empty cell of a table is an empty answer; our own rows say null where an LVLM was not made to write
    silent = field is None or (value is None and (losses is not None or bool(problem)))
    return Answer(row_id(row), None if silent else text_of(value), losses, problem)


def _written(place: str, value: Any) -> Any:
    """The text in a cell: of nested lists the first, of lists of a message's parts their texts, of objects their text.

    Raises:
        ValueError: an object has none of the known fields, or several of them.
    """
    value = _first(message_text(value))
    if not isinstance(value, dict):
        return value
    named = [name for name in TEXTS if name in value]
    if len(named) != 1:
        raise ValueError(
            f"{place} is an object with {', '.join(map(str, value)) or 'nothing in it'}; its text must stand under one "
            f"of {', '.join(TEXTS)}"
        )
    return _written(f"{place}.{named[0]}", value[named[0]])


def question_of(place: str, row: Row, benchmark: str) -> tuple[Question, str]:
    """What a row says of its question, and the prompt that it was put with; empty where it says nothing.

    Raises:
        ValueError: it contradicts itself.
    """
    output = _output(row)
    names = [name for name in (*_TRUTHS, "answer") if name != output and text_of(_first(row.get(name)))]
    truth = text_of(_first(row[names[0]])).strip() if names else ""
    asked = row.get("question", row.get("text") if output != "text" else None)
    own = row.get("splits")
    splits = splits_of(own if own else row.get("category") or row.get("split")) if benchmark == "pope" else ()
    question = Question(
        row_id(row),
        text_of(asked).strip(),
        truth,
        text_of(row.get("image")) or None if len(text_of(row.get("image"))) < 1000 else None,
        _options(row, benchmark),
        splits=splits,
        categories=_categories(row, benchmark),
    )
    return question, text_of(row.get("prompt"))


def _output(row: Row) -> str | None:
    """Name of the field that holds what the LVLM wrote."""
    for name in _OUTPUTS:
        if name in row:
            return name
    if "text" in row and not ("answer" in row and "label" in row):
        return "text"
    return "answer" if "answer" in row else None


def _first(value: Any) -> Any:
    """The first of nested lists: lmms-eval keeps `[["text"]]`."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value


def _losses(place: str, value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    if isinstance(value, list) and all(type(one) in (int, float) or one is None for one in value):
        with suppress(OverflowError):  # a whole number that no float can hold
            return tuple(math.nan if one is None else float(one) for one in value)
    raise ValueError(f"{place}: losses are a list of numbers, one an option, not {short(value)}")


def _options(row: Row, benchmark: str) -> dict[str, str]:
    """Options by letter; of SEED-Bench four letters without texts where a row has none."""
    if benchmark not in ("seed", "mmbench"):
        return {}
    own = row.get("options")
    if isinstance(own, dict) and own:
        return {str(letter): text_of(text) for letter, text in own.items()}
    if benchmark == "mmbench":
        return option_columns(row)
    return seed_options(row) or dict.fromkeys(LETTERS, "")


def _categories(row: Row, benchmark: str) -> dict[str, str]:
    own = row.get("categories")
    if isinstance(own, dict):
        return {str(table): text_of(value) for table, value in own.items()}
    if benchmark == "mmbench":
        return mmbench_categories(row)
    return seed_categories(row, row_id(row)) if benchmark == "seed" else {}
