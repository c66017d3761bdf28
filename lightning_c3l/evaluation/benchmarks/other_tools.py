"""Rows of other tools' answer files whose fields are nested: what scoring reads, brought to the top.

* lmms-eval before 0.4: the question is in `doc`.
* lmms-eval from 0.4 on: no `doc`. The question's id and truth are in the dicts of the metrics (`pope_accuracy`,
  `seed_all`, `submission`), the prompt is `input`, what the LVLM wrote is `filtered_resps`.
* EvalScope's `predictions/`: `model_output.choices[0].message`, the prompt in `messages`; `index` is the place in the
  data set, no id of the benchmark.
* EvalScope's `reviews/`: `sample_score.score.prediction`, the question's id in `sample_score.sample_metadata`.
"""

from collections.abc import Mapping
from typing import Any

from lightning_c3l.evaluation.benchmarks.rows import Row

# place of the question in the tool's data set: rows may be in another order
PLACE = "doc_id"
# lmms-eval cuts what the LVLM wrote for its metrics
_CUT = ("prediction", "pred", "score")


def flat(row: Row) -> Row:
    """The row with all that is read of it at the top; a row of another form as it is."""
    if isinstance(row.get("doc"), dict):
        return {**row["doc"], **{key: value for key, value in row.items() if key != "doc"}}
    if PLACE in row and ("filtered_resps" in row or "resps" in row):
        return _lmms_eval(row)
    if isinstance(row.get("sample_score"), dict):
        return _evalscope_review(row, row["sample_score"])
    if isinstance(row.get("model_output"), dict):
        return _evalscope_prediction(row, row["model_output"])
    return row


def message_text(content: Any) -> Any:
    """The text of a message whose content may be a list of typed parts (`{"type": "text", "text": ...}`)."""
    if isinstance(content, list) and content and all(isinstance(part, dict) and "type" in part for part in content):
        return "".join(str(part.get("text") or "") for part in content if part["type"] == "text")
    return content


def _lmms_eval(row: Row) -> Row:
    metrics = [value for value in row.values() if isinstance(value, dict) and value.keys() & {"question_id", "index"}]
    known = {key: value for metric in metrics for key, value in metric.items() if key not in _CUT}
    prompt = row["input"] if isinstance(row.get("input"), str) else ""
    return {**known, **({"prompt": prompt} if prompt else {}), **row}


def _evalscope_review(row: Row, scored: Mapping[str, Any]) -> Row:
    score, about = scored.get("score"), scored.get("sample_metadata")
    found: Row = {**about} if isinstance(about, dict) else {}
    if isinstance(score, dict):
        found["prediction"] = score.get("prediction") or score.get("extracted_prediction")
    prompt = _prompt(row["input"]) if isinstance(row.get("input"), list) else row.get("input")
    return {**found, "prompt": prompt, "target": row.get("target"), PLACE: row.get("index")}


def _evalscope_prediction(row: Row, output: Mapping[str, Any]) -> Row:
    choices = output.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    found = {"prompt": _prompt(row.get("messages")), "model": row.get("model"), PLACE: row.get("index")}
    message = first.get("message")
    return {**found, "prediction": message_text(message.get("content")) if isinstance(message, dict) else None}


def _prompt(messages: Any) -> str:
    """What the user said first."""
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and message.get("role") == "user":
            return str(message_text(message.get("content")) or "")
    return ""
