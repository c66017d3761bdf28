"""Small files in the benchmarks' own formats, with drawn pictures."""

import csv
import json
from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.helpers.tiny import pictures

PICTURES = 4


def write_benchmark(folder: Path, name: str, broken: Sequence[int] = ()) -> tuple[str, str]:
    """Write a benchmark's files about four pictures; returns what `questions` and `images` have to say.

    Args:
        folder: becomes the folder of both.
        name: which benchmark.
        broken: numbers of pictures that no decoder can read.
    """
    images = folder / "images"
    images.mkdir(parents=True)
    for number, picture in enumerate(pictures(PICTURES)):
        file = images / f"{number}.png"
        picture.save(file)
        if number in broken:
            file.write_bytes(file.read_bytes()[:60])
    return str(WRITERS[name](folder, images)), str(images)


def lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_pope(folder: Path, images: Path) -> Path:
    """Three splits that ask about the same pictures, in different orders."""
    out = folder / "coco"
    out.mkdir()
    for shift, split in enumerate(("random", "popular", "adversarial")):
        rows = [
            {
                "question_id": number + 1,
                "image": f"{(number + shift) % PICTURES}.png",
                "text": f"Is there a {thing} in the image?",
                "label": ("yes", "no")[number % 2],
            }
            for number, thing in enumerate(("ring", "cross", "circle", "square", "triangle", "dog")[: 4 + shift])
        ]
        lines(out / f"coco_pope_{split}.json", rows)
    return out


def write_seed(folder: Path, images: Path) -> Path:
    """Six questions about pictures and two about videos."""
    questions = [
        {
            "question_id": str(100 + number),
            "question": f"How many {thing} are there?",
            **{
                f"choice_{letter}": text
                for letter, text in zip("abcd", ("one", "two", "three or more", "none"), strict=True)
            },
            "answer": "ABCD"[number % 4],
            "data_id": f"{number % PICTURES}.png" if number < 6 else f"{number}.mp4",
            "data_type": "image" if number < 6 else "video",
            "question_type_id": 5 if number < 6 else 10,
        }
        for number, thing in enumerate(("rings", "dogs", "crosses", "men", "cats", "circles", "jumps", "falls"))
    ]
    path = folder / "SEED-Bench.json"
    path.write_text(
        json.dumps({"question_type": {"Instances Counting": 5, "Action Recognition": 10}, "questions": questions})
    )
    return path


def write_mmbench(folder: Path, images: Path) -> Path:
    """Three questions, one of which has two choices alone, each with its rotations and its picture."""
    path = folder / "mmbench.tsv"
    names = ["index", "question", "hint", "A", "B", "C", "D", "answer", "category", "l2-category", "image", "split"]
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, names, delimiter="\t")
        table.writeheader()
        for number, options in enumerate(
            (["red", "blue", "green", "grey"], ["left", "right"], ["one", "two", "no", "all"])
        ):
            picture = b64encode((images / f"{number}.png").read_bytes()).decode()
            for turn in range(len(options)):
                turned = options[turn:] + options[:turn]
                row = {
                    "index": turn * 1_000_000 + number,
                    "question": f"Which one is it, {number}?",
                    "hint": "Look closely." if number == 1 else "",
                    **dict(zip("ABCD", [*turned, "", ""][:4], strict=True)),
                    "answer": "ABCD"[turned.index(options[0])],
                    "category": "color",
                    "l2-category": "perception",
                    "image": picture,
                    "split": "dev",
                }
                table.writerow(row)
    return path


def write_llava_w(folder: Path, images: Path) -> Path:
    """Five open questions of all kinds."""
    out = folder / "wild"
    out.mkdir()
    kinds = ("conv", "detail", "complex", "conv", "detail")
    questions = [
        {"question_id": number, "image": f"{number % PICTURES}.png", "text": f"What is it, {number}?", "category": kind}
        for number, kind in enumerate(kinds)
    ]
    lines(out / "questions.jsonl", questions)
    lines(out / "context.jsonl", [{"id": n, "image": f"{n}.png", "caption": f"Shape {n}."} for n in range(PICTURES)])
    answers = [{"answer_id": str(n), "question_id": n, "model_id": "gpt-4", "text": f"It is {n}."} for n in range(5)]
    lines(out / "answers_gpt4.jsonl", answers)
    return out


WRITERS = {"pope": write_pope, "seed": write_seed, "mmbench": write_mmbench, "llava_w": write_llava_w}
