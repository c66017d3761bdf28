"""The written data set to files, and instruction-tuning files to conversations.

The format is LLaVA's: a bare JSON list (or one object a line) of records with `conversations` and at most one
`image`.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from lightning_c3l.atomic import atomic_path, write_json_atomic, write_text_atomic
from lightning_c3l.conversations import Conversation, Role, Turn
from lightning_c3l.records import VLITRecord

PLACEHOLDER = "<image>"

_ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
_READINGS = ("answer", "positions", "vocabulary", "gap", "mean_logp", "mean_logq")
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("id", "image", "question", "answer", "kind")]
    + [(f"score_{name}", pa.float64()) for name in _READINGS]
    + [("tokens", pa.int64()), ("provenance", pa.string())]
)


def write_llava_json(path: str | Path, records: Iterable[VLITRecord], image_root: str) -> None:
    """Writes the data set in LLaVA's format, and beside it `<stem>.meta.json`.

    The list stays bare, as other tools expect it: what it does not hold (count, image root) is in the second
    file, and each record's kind, scores and provenance are under a key of ours, `c3l`, which other tools pass
    over.

    Args:
        path: the JSON file.
        records: the kept pairs.
        image_root: folder that the records' image paths are relative to.

    Raises:
        ValueError: a text holds the placeholder `<image>`, which every trainer would take for a second image.
        OSError: a file cannot be written.
    """
    lines = [json.dumps(_to_llava(record), allow_nan=False, default=str) for record in records]
    write_text_atomic(path, "[\n" + ",\n".join(lines) + "\n]\n" if lines else "[]\n")
    meta = {"format": "llava", "count": len(lines), "image_root": image_root}
    write_json_atomic(Path(path).with_suffix(".meta.json"), meta)


def write_parquet(path: str | Path, records: Iterable[VLITRecord]) -> None:
    """Writes the data set as a flat table; no record gives an empty table with the same columns.

    Columns: id, image, question, answer, kind, score_<reading>, tokens, provenance (a JSON text).

    Raises:
        OSError: the file cannot be written.
    """
    rows = [_to_row(record) for record in records]
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def read_llava_json(path: str | Path, image_root: Path | None) -> list[Conversation]:
    """Reads LLaVA's format, a JSON list or one JSON object a line.

    Args:
        path: the file.
        image_root: where given, every image must exist below it.

    Returns:
        The conversations; image paths as they are in the file, the placeholder taken out of the text.

    Raises:
        ValueError: names the file, the record (from 1) and what is wrong with it. Several images, video and
            an image in the middle of a conversation are not supported yet.
        OSError: the file cannot be read.
    """
    conversations = []
    for number, record in enumerate(_load(Path(path)), start=1):
        try:
            conversation = _to_conversation(record, str(number))
        except ValueError as error:
            raise ValueError(f"{path}, record {number}: {error}") from error
        image = conversation.image
        if image_root is not None and image is not None and not (image_root / image).is_file():
            raise ValueError(f"{path}, record {number}: image {image} is not below {image_root}")
        conversations.append(conversation)
    return conversations


def _to_llava(record: VLITRecord) -> dict[str, Any]:
    if PLACEHOLDER in record.question or PLACEHOLDER in record.answer:
        raise ValueError(f"record {record.id}: its text holds the placeholder {PLACEHOLDER}")
    return {
        "id": record.id,
        "image": record.image,
        "conversations": [
            {"from": "human", "value": f"{PLACEHOLDER}\n{record.question}"},
            {"from": "gpt", "value": record.answer},
        ],
        "c3l": {
            "kind": record.kind,
            "scores": _finite(asdict(record.scores)),
            "provenance": _finite(record.provenance),
        },
    }


def _to_row(record: VLITRecord) -> dict[str, Any]:
    scores = asdict(record.scores)
    texts = {name: getattr(record, name) for name in ("id", "image", "question", "answer", "kind")}
    provenance = json.dumps(_finite(record.provenance), allow_nan=False, default=str)
    return (
        texts
        | {f"score_{name}": scores[name] for name in _READINGS}
        | {
            "tokens": record.scores.tokens,
            "provenance": provenance,
        }
    )


def _finite(value: Any) -> Any:
    """The same value with null for every number that JSON has no form for."""
    if isinstance(value, Mapping):
        return {str(name): _finite(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _load(path: Path) -> list[Any]:
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip().startswith("["):
        return list(_parse(text, str(path)))
    lines = text.split("\n")  # not splitlines(), which also breaks at separators inside of texts
    return [_parse(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1) if line.strip()]


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{where}: no valid JSON: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{where}: no valid JSON: nested too deeply") from error


def _to_conversation(record: Any, number: str) -> Conversation:
    if not isinstance(record, dict):
        raise ValueError(f"must be an object, got {type(record).__name__}")
    image = _image(record)
    turns = _turns(record)
    first = 1 if turns[0].role == "system" else 0
    if first < len(turns):
        turns[first] = Turn(turns[first].role, _without_placeholder(turns[first].text, image))
    if any(PLACEHOLDER in turn.text for turn in turns):
        raise ValueError(f"{PLACEHOLDER} elsewhere than at an end of the first question is not supported yet")
    if any("<video>" in turn.text for turn in turns):
        raise ValueError("video is not supported yet")
    _check_order([turn.role for turn in turns[first:]])
    name = record.get("id")
    return Conversation(number if name is None else str(name), image, tuple(turns))


def _image(record: dict[str, Any]) -> str | None:
    if record.get("video") or record.get("videos"):
        raise ValueError("video is not supported yet")
    image = record.get("image") or record.get("images")
    if isinstance(image, list):
        if len(image) > 1:
            raise ValueError(f"{len(image)} images in one record are not supported yet")
        image = image[0]
    if image is not None and not isinstance(image, str):
        raise ValueError(f"'image' must be a path, got {type(image).__name__}")
    return image or None


def _turns(record: dict[str, Any]) -> list[Turn]:
    messages = record.get("conversations", record.get("messages"))
    if not isinstance(messages, list) or not messages:
        raise ValueError("'conversations' is missing, empty or no list")
    turns = [_turn(message, place) for place, message in enumerate(messages, start=1)]
    prompt = record.get("system_prompt")
    if isinstance(prompt, str) and prompt and turns[0].role != "system":
        turns.insert(0, Turn("system", prompt))
    return turns


def _turn(message: Any, place: int) -> Turn:
    if not isinstance(message, dict):
        raise ValueError(f"turn {place} must be an object, got {type(message).__name__}")
    speaker, text = message.get("from", message.get("role")), message.get("value", message.get("content"))
    role = _ROLES.get(speaker) if isinstance(speaker, str) else None
    if role is None:
        raise ValueError(f"turn {place} is from {speaker!r}; known are {', '.join(_ROLES)}")
    if not isinstance(text, str):
        raise ValueError(f"turn {place} has no text under 'value'")
    return Turn(role, text)


def _without_placeholder(text: str, image: str | None) -> str:
    """The question alone. A line break after the placeholder goes with it, nothing else changes."""
    if PLACEHOLDER in text and image is None:
        raise ValueError(f"has {PLACEHOLDER} but no 'image'")
    if text.startswith(f"{PLACEHOLDER}\n"):
        return text[len(PLACEHOLDER) + 1 :]
    if text.startswith(PLACEHOLDER):
        return text.removeprefix(PLACEHOLDER).lstrip()
    if text.endswith(PLACEHOLDER):
        return text.removesuffix(PLACEHOLDER).rstrip()
    return text


def _check_order(roles: list[Role]) -> None:
    expected: list[Role] = ["user", "assistant"] * ((len(roles) + 1) // 2)
    if not roles or roles != expected:
        raise ValueError(
            f"turns must go user, assistant, ... and end with the assistant, got {', '.join(roles) or 'none'}"
        )
