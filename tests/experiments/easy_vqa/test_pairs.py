"""Single easy-VQA pairs: what is trained on, and what an exchanged image makes of an answer."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from experiments.easy_vqa.preparing import write_answers, write_exchanged

# image 0 shows a red circle, 1 a blue rectangle, 2 a red triangle
ROWS = [
    ["what shape is in the image?", "circle", 0],
    ["what color is the shape?", "red", 0],
    ["is there a red shape?", "yes", 0],
    ["what shape is in the image?", "rectangle", 1],
    ["what is the color of the rectangle?", "blue", 1],
    ["does the image not contain a circle?", "yes", 1],
    ["what shape is in the image?", "triangle", 2],
    ["what color is the shape?", "red", 2],
]
SHOWN = {"0": ("circle", "red"), "1": ("rectangle", "blue"), "2": ("triangle", "red")}


def by_hand(question: str, answer: str, image: str) -> str:
    shape, color = SHOWN[image]
    if question == "what shape is in the image?":
        return "right" if answer == shape else "wrong"
    if question == "what color is the shape?":
        return "right" if answer == color else "wrong"
    if question == "is there a red shape?":
        return "right" if (color == "red") == (answer == "yes") else "wrong"
    if question == "does the image not contain a circle?":
        return "right" if (shape != "circle") == (answer == "yes") else "wrong"
    if shape != "rectangle":
        return "unanswerable"
    return "right" if answer == color else "wrong"


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def questions(folder: Path) -> Path:
    (folder / "questions.json").write_text(json.dumps(ROWS))
    return folder / "questions.json"


def test_half_of_the_pairs_get_another_picture_and_are_judged_by_it(tmp_path: Path) -> None:
    counts = write_exchanged(questions(tmp_path), tmp_path / "out.jsonl", seed=3)
    found = lines(tmp_path / "out.jsonl")
    assert sum(one["exchanged"] for one in found) == len(ROWS) // 2
    assert [one["image"] for one in found] == sorted(one["image"] for one in found)
    for one in found:
        question, answer, own = ROWS[int(one["id"])]
        said = [turn["value"] for turn in one["conversations"]]
        assert said == [f"<image>\n{question}", answer]
        image = one["image"].removeprefix("test/images/").removesuffix(".png")
        assert (image != str(own)) == one["exchanged"]
        assert one["verdict"] == by_hand(str(question), str(answer), image)
    assert counts == Counter(one["verdict"] for one in found)


def test_the_exchange_goes_by_its_seed(tmp_path: Path) -> None:
    file = questions(tmp_path)
    texts = []
    for number, seed in enumerate((0, 0, 1)):
        write_exchanged(file, tmp_path / f"{number}.jsonl", seed)
        texts.append((tmp_path / f"{number}.jsonl").read_text())
    assert texts[0] == texts[1] != texts[2]


def test_answers_come_in_each_pass_once_and_some_without_their_picture(tmp_path: Path) -> None:
    write_answers(questions(tmp_path), tmp_path / "out.jsonl", passes=3, blind_share=0.4)
    found = lines(tmp_path / "out.jsonl")
    assert len(found) == 3 * len(ROWS)
    assert len({one["id"] for one in found}) == len(found)
    passes = [found[n : n + len(ROWS)] for n in range(0, len(found), len(ROWS))]
    for records in passes:
        asked = sorted(
            (one["conversations"][0]["value"].removeprefix("<image>\n"), one["conversations"][1]["value"])
            for one in records
        )
        assert asked == sorted((question, answer) for question, answer, _ in ROWS)
    assert passes[0] != passes[1]
    for one in found:
        image = ROWS[int(one["id"].split("-")[0])][2]
        assert one.get("image") in (None, f"train/images/{image}.png")
        assert one["conversations"][0]["value"].startswith("<image>\n") == ("image" in one)
    assert 0 < sum("image" not in one for one in found) < len(found)
