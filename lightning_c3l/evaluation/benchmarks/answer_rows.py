"""What a row of an answer file says: every tool names and nests its fields in its own way.

Known are our own rows, LLaVA's JSON lines, VLMEvalKit's tables, POPE's official form, the GPT-4V answers that
SEED-Bench published, and these rows with nested fields, which `flatten_row` brings to the first two kinds:

* lmms-eval before 0.4: the question is in `doc`.
* lmms-eval from 0.4 on: no `doc`. The question's id and truth are in the dicts of the metrics (`pope_accuracy`,
  `seed_all`, `submission`), the prompt is `input`, the generated text is `filtered_resps`.
* EvalScope's `predictions/`: `model_output.choices[0].message`, the prompt in `messages`; `index` is the position in
  the data set, not an id of the benchmark.
* EvalScope's `reviews/`: `sample_score.score.prediction`, the question's id in `sample_score.sample_metadata`.

`answer` is the truth if a row has another field for the generated text, else it is the generated text.
"""

import math
from contextlib import suppress
from typing import Any

from lightning_c3l.evaluation.benchmarks.base import Answer, Question
from lightning_c3l.evaluation.benchmarks.final_answer import TEXT_FIELDS
from lightning_c3l.evaluation.benchmarks.mmbench import mmbench_categories, option_columns
from lightning_c3l.evaluation.benchmarks.pope import parse_splits
from lightning_c3l.evaluation.benchmarks.rows import Row, cell_id, cell_text, quoted
from lightning_c3l.evaluation.benchmarks.seed import LETTERS, seed_categories, seed_options

# position of the question in the tool's data set: rows may be in another order
POSITION = "doc_id"
MODEL_FIELDS = ("model_id", "model")
_ID_FIELDS = ("question_id", "index", "id")
_OUTPUT_FIELDS = ("prediction", "pred", "response", "output", "filtered_resps", "resps")
_TRUTH_FIELDS = ("truth", "gt_answer", "ground_truth", "gt", "label", "target")
# lmms-eval shortens the generated text for its metrics
_SHORTENED = ("prediction", "pred", "score")
# fields that a message names
_NAMED = 12
# a longer `image` is the image itself
_LONGEST_PATH = 1000


def flatten_row(row: Row) -> Row:
    """Return a nested row of another tool with everything that is read at the top level; other rows as they are."""
    if isinstance(row.get("doc"), dict):
        return {**row["doc"], **{key: value for key, value in row.items() if key != "doc"}}
    if POSITION in row and ("filtered_resps" in row or "resps" in row):
        metrics = [one for one in row.values() if isinstance(one, dict) and one.keys() & {"question_id", "index"}]
        known = {key: value for metric in metrics for key, value in metric.items() if key not in _SHORTENED}
        prompted = {"prompt": row["input"]} if isinstance(row.get("input"), str) and row["input"] else {}
        return {**known, **prompted, **row}
    if isinstance(row.get("sample_score"), dict):
        score, metadata = row["sample_score"].get("score"), row["sample_score"].get("sample_metadata")
        found: Row = {**metadata} if isinstance(metadata, dict) else {}
        if isinstance(score, dict):
            found["prediction"] = score.get("prediction") or score.get("extracted_prediction")
        asked = row.get("input")
        prompt = _user_message(asked) if isinstance(asked, list) else asked
        return {**found, "prompt": prompt, "target": row.get("target"), POSITION: row.get("index")}
    if isinstance(row.get("model_output"), dict):
        choices = row["model_output"].get("choices")
        first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        message = first.get("message")
        text = _message_text(message.get("content")) if isinstance(message, dict) else None
        found = {"prompt": _user_message(row.get("messages")), "model": row.get("model"), POSITION: row.get("index")}
        return {**found, "prediction": text}
    return row


def parse_answer(where: str, row: Row) -> Answer:
    """Return the LVLM's answer in a row, with the row's id.

    Raises:
        ValueError: the row has neither text nor losses, or the losses are not numbers.
    """
    field, problem, given = _output_field(row), cell_text(row.get("problem")), row.get("losses")
    losses = None
    if isinstance(given, list) and all(type(one) in (int, float) or one is None for one in given):
        with suppress(OverflowError):  # an integer beyond any float
            losses = tuple(math.nan if one is None else float(one) for one in given)
    if given is not None and losses is None:
        raise ValueError(f"{where}: losses must be a list of numbers, one per option, not {quoted(given)}")
    if field is None and losses is None and not problem:
        names = ", ".join(quoted(name, 30) for name in list(row)[:_NAMED]) + (", ..." if len(row) > _NAMED else "")
        raise ValueError(
            f"{where}: no answer: none of text, {', '.join(_OUTPUT_FIELDS)}, answer, losses is among its fields {names}"
        )
    value = None if field is None else _output_text(f"{where}: {field}", row[field])
    # an empty cell of a table is an empty answer; our own rows have null if no text was generated
    missing = field is None or (value is None and (losses is not None or bool(problem)))
    return Answer(_row_id(row), None if missing else cell_text(value), losses, problem)


def parse_row_question(row: Row, benchmark: str) -> tuple[Question, str]:
    """Return what a row says about its question, and the prompt; both are empty if it says nothing."""
    output = _output_field(row)
    truths = (cell_text(_first(row.get(name))) for name in (*_TRUTH_FIELDS, "answer") if name != output)
    text = row.get("question", row.get("text") if output != "text" else None)
    image = cell_text(row.get("image"))
    splits = row.get("splits") or row.get("category") or row.get("split")
    options, categories = dict[str, str](), dict[str, str]()
    if benchmark == "mmbench":
        options, categories = option_columns(row), mmbench_categories(row)
    elif benchmark == "seed":  # four letters, also if their texts are not known
        options, categories = seed_options(row) or dict.fromkeys(LETTERS, ""), seed_categories(row, _row_id(row))
    # our own rows have them in one field each
    if benchmark not in ("pope", "llava_w") and isinstance(own := row.get("options"), dict) and own:
        options = {str(letter): cell_text(option) for letter, option in own.items()}
    if isinstance(own := row.get("categories"), dict):
        categories = {str(table): cell_text(value) for table, value in own.items()}
    own_splits: tuple[str, ...] = ()
    if benchmark == "pope":
        own_splits = parse_splits(splits)
    elif benchmark not in ("mmbench", "seed", "llava_w") and isinstance(splits, list):  # of the user's own
        own_splits = tuple(map(cell_text, splits))
    question = Question(
        _row_id(row),
        cell_text(text).strip(),
        next(filter(None, truths), "").strip(),
        image if 0 < len(image) < _LONGEST_PATH else None,
        options,
        splits=own_splits,
        categories=categories,
    )
    return question, cell_text(row.get("prompt"))


def _row_id(row: Row) -> str:
    return next((found for name in _ID_FIELDS if (found := cell_id(row.get(name)))), "")


def _output_field(row: Row) -> str | None:
    """Name of the field with the generated text."""
    for name in _OUTPUT_FIELDS:
        if name in row:
            return name
    if "text" in row and not ("answer" in row and "label" in row):
        return "text"
    return "answer" if "answer" in row else None


def _output_text(where: str, value: Any) -> Any:
    """The text in a cell: the first of nested lists, the texts of a message's parts, or the one text of an object."""
    value = _first(_message_text(value))
    if not isinstance(value, dict):
        return value
    named = [name for name in TEXT_FIELDS if name in value]
    if len(named) != 1:
        raise ValueError(
            f"{where} is an object with {', '.join(map(str, value)) or 'no fields'}; its text must be in exactly one "
            f"of {', '.join(TEXT_FIELDS)}"
        )
    return _output_text(f"{where}.{named[0]}", value[named[0]])


def _first(value: Any) -> Any:
    """The first of nested lists: lmms-eval keeps `[["text"]]`."""
    while isinstance(value, list):
        value = value[0] if value else None
    return value


def _message_text(content: Any) -> Any:
    """The text of a message whose content may be a list of typed parts (`{"type": "text", "text": ...}`)."""
    if isinstance(content, list) and content and all(isinstance(part, dict) and "type" in part for part in content):
        return "".join(str(part.get("text") or "") for part in content if part["type"] == "text")
    return content


def _user_message(messages: Any) -> str:
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            return str(_message_text(message.get("content")) or "")
    return ""
