"""Small question files of each benchmark, as the benchmarks' own look."""

import base64
import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

POPE = {
    "random": [("Is there a dog?", "yes"), ("Is there a cup?", "no")],
    "popular": [("Is there a dog?", "yes"), ("Is there a car?", "no")],
    "adversarial": [("Is there a dog?", "yes"), ("Is there a cat?", "no"), ("Is there a bus?", "no")],
}
SEED_TYPES = {"Scene Understanding": 1, "Action Prediction": 11}
PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256))


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_table(path: Path, rows: list[dict[str, Any]], delimiter: str = "\t") -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def pope(folder: Path) -> Path:
    for split, questions in POPE.items():
        rows = [
            {"question_id": number, "image": f"{number}.jpg", "text": text, "label": label}
            for number, (text, label) in enumerate(questions, start=1)
        ]
        write_lines(folder / f"coco_pope_{split}.json", rows)
    return folder


def seed(path: Path) -> Path:
    """Two questions about pictures and one about a video; A, B and D are right."""
    rows = []
    for number, (name, kind, truth) in enumerate([("11", "image", "A"), ("12", "image", "B"), ("v3", "video", "D")]):
        choices = {
            f"choice_{letter}": f"{word} {number}"
            for letter, word in zip("abcd", ("red", "blue", "green", "black"), strict=True)
        }
        own = {"data_id": f"file{number}", "data_type": kind, "question_type_id": 11 if kind == "video" else 1}
        rows.append(
            {"answer": truth, **choices, **own, "question": f"Q{number}?", "question_id": name, "segment": [0, 1]}
        )
    path.write_text(json.dumps({"questions": rows, "question_type": SEED_TYPES}))
    return path


def mmbench_rows() -> list[dict[str, Any]]:
    """Base question 1 with three options in three orders, 5 with two; the picture of 5 is that of 1."""
    picture = base64.b64encode(PICTURE).decode()
    rows = []
    for base, options, truth, categories in (
        (1, ["red", "blue", "green"], "blue", ("color", "perception")),
        (5, ["one", "two"], "one", ("count", "perception")),
    ):
        for turn in range(len(options)):
            turned = options[turn:] + options[:turn]
            cells = dict(zip("ABCD", turned + [""] * (4 - len(turned)), strict=True))
            rows.append(
                {
                    "index": base + turn * 1_000_000,
                    "question": f"Q{base}?",
                    "hint": "Look." if base == 1 else "nan",
                    **cells,
                }
                | {"answer": "ABC"[turned.index(truth)], "category": categories[0], "l2-category": categories[1]}
                | {"image": picture if (base, turn) == (1, 0) else "1", "split": "dev"}
            )
    return rows


def llava_w(folder: Path) -> Path:
    kinds = ["conv", "detail", "complex"]
    questions = [
        {"question_id": n, "image": f"{n // 2:03}.jpg", "text": f"Q{n}?", "category": kinds[n]} for n in range(3)
    ]
    write_lines(folder / "questions.jsonl", questions)
    write_lines(
        folder / "context.jsonl", [{"id": f"{n:03}", "image": f"{n:03}.jpg", "caption": f"c{n}"} for n in range(2)]
    )
    write_lines(
        folder / "answers_gpt4.jsonl", [{"question_id": n, "text": f"a{n}", "category": kinds[n]} for n in range(3)]
    )
    return folder
