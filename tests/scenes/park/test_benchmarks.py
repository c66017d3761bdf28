"""The park's own benchmarks: their labels and options against an independent reading of the scenes."""

import csv
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from data_modules.scenes import scene_of
from lightning_c3l.cli.scenes_benchmarks import commands, main
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.scenes.park.statements import truth
from lightning_c3l.scenes.park.world import COLORS, NUMBERS, PLACES, THINGS, USUAL, Thing
from lightning_c3l.scenes.worlds import WORLDS

SCENES = 40
COMPANIONS = {"bird": "tree", "flower": "house", "flag": "boat", "star": "moon", "kite": "ball"}
KINDS = {"number": NUMBERS, "color": COLORS, "place": PLACES, "relation": None, "reasoning": None}
COUNTED = ("none", "one", "two", "three", "four", "five", "six", "seven", "eight")
# row and column
GRID = {
    "at the top left": (0, 0),
    "at the top": (0, 1),
    "at the top right": (0, 2),
    "on the left": (1, 0),
    "in the center": (1, 1),
    "on the right": (1, 2),
    "at the bottom left": (2, 0),
    "at the bottom": (2, 1),
    "at the bottom right": (2, 2),
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("park")
    assert main([str(folder), "--world", "park", "--scenes", str(SCENES), "--seed", "3"]) == 0
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def things(key: str) -> Mapping[str, Thing]:
    world, scene = scene_of(key)
    assert world is WORLDS["park"]
    found: Mapping[str, Thing] = scene.things
    return found


def asked_for(question: str) -> list[str]:
    return re.findall(rf"\b({'|'.join(THINGS)})s\b", question)


def answer(there: Mapping[str, Thing], kind: str, names: list[str]) -> str:
    """What is to be said of things that are there, worked out by hand."""
    found = [there[name] for name in names]
    if kind in ("number", "color", "place"):
        return str(getattr(found[0], kind))
    if kind == "reasoning":
        numbers = [COUNTED.index(one.number) for one in found]
        parts = [f"{COUNTED[n]} {name}{'s' * (n > 1)}" for n, name in zip(numbers, names, strict=True)]
        return f"{COUNTED[sum(numbers)].capitalize()}, because there are {' and '.join(parts)}."
    (row, column), (other_row, other_column) = (GRID[one.place] for one in found)
    vertical = ["above"] * (row < other_row) + ["below"] * (row > other_row)
    horizontal = ["left of"] * (column < other_column) + ["right of"] * (column > other_column)
    side = " and ".join(vertical + horizontal) or "among"
    return f"The {names[0]}s are {side} the {names[1]}s."


@pytest.mark.parametrize("split", ["random", "popular", "adversarial"])
def test_yes_and_no_are_true_and_equally_often(out: Path, split: str) -> None:
    rows = lines(out / "pope" / f"scenes_pope_{split}.json")
    asked = [(row["image"], *asked_for(row["text"])) for row in rows]
    assert len(set(asked)) == len(asked) == 4 * SCENES  # nothing is asked for twice
    assert all(
        row["label"] == ("yes" if name in things(key) else "no") for row, (key, name) in zip(rows, asked, strict=True)
    )
    assert set(Counter((row["image"], row["label"]) for row in rows).values()) == {2}
    if split == "adversarial":
        absent = [(key, name) for row, (key, name) in zip(rows, asked, strict=True) if row["label"] == "no"]
        assert all(COMPANIONS[name] in things(key) for key, name in absent)
        assert {name for _, name in absent} == set(COMPANIONS)


def test_one_of_four_different_options_is_true_and_one_is_the_priors(out: Path) -> None:
    file = json.loads((out / "seed" / "scenes_seed.json").read_text())
    kinds = {number: kind for kind, number in file["question_type"].items()}
    assert list(kinds.values()) == list(KINDS)
    assert Counter(row["question_type_id"] for row in file["questions"]) == dict.fromkeys(kinds, SCENES)
    by_prior = 0
    for row in file["questions"]:
        kind, names, key = kinds[row["question_type_id"]], asked_for(row["question"]), row["data_id"]
        options = {letter: row[f"choice_{letter.lower()}"] for letter in "ABCD"}
        true, usual = answer(things(key), kind, names), answer(USUAL, kind, names)
        assert len(set(options.values())) == 4
        assert [letter for letter, text in options.items() if text == true] == [row["answer"]]
        assert usual in options.values()
        assert set(options.values()) <= set(KINDS[kind] or options.values())
        verdicts = [truth(scene_of(key)[1], row["question"], text) for text in options.values()]
        assert Counter(verdicts) == {"right": 1, "wrong": 3}
        by_prior += true == usual
    assert {row["answer"] for row in file["questions"]} == set("ABCD")
    # four attributes in five break the prior
    assert by_prior < 0.4 * len(file["questions"])


def test_rotations_turn_the_same_options_through_all_letters(out: Path) -> None:
    with (out / "mmbench" / "scenes_mmbench.tsv").open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    groups = dict[int, list[dict[str, str]]]()
    for row in rows:
        groups.setdefault(int(row["index"]) % 1_000_000, []).append(row)
    assert len(groups) == len(KINDS) * SCENES
    for group in groups.values():
        assert {row["answer"] for row in group} == set("ABCD")
        assert len({(row["question"], row["image"], row[row["answer"]]) for row in group}) == 1
        assert len({frozenset(row[letter] for letter in "ABCD") for row in group}) == 1
    pairs = {(row["category"], row["l2-category"]) for row in rows}
    assert {kind for kind, _ in pairs} == set(KINDS)
    assert len(pairs) == len(KINDS)


def test_open_questions_are_a_short_one_a_description_and_a_comparison(out: Path) -> None:
    questions, answers = lines(out / "llava_w" / "questions.jsonl"), lines(out / "llava_w" / "answers_gpt4.jsonl")
    contexts = {row["image"]: row["caption"] for row in lines(out / "llava_w" / "context.jsonl")}
    assert [row["category"].removeprefix("llava_bench_") for row in questions] == ["conv", "detail", "complex"] * SCENES
    compared = Counter[bool]()
    for question, reference in zip(questions, answers, strict=True):
        key, text, said = question["image"], question["text"], reference["text"]
        assert truth(scene_of(key)[1], text, said) == "right"
        if question["category"] == "llava_bench_detail":
            assert text in ("What does the picture show?", "Describe the picture in detail.")
            assert said == contexts[key]
            assert said.count(".") == len(things(key))
        elif question["category"] == "llava_bench_conv":
            assert len(asked_for(text)) == 1
        else:
            assert len(asked_for(text)) == 2
            compared["because" in said] += 1
    # reasoning and relation take turns
    assert compared == {True: SCENES / 2, False: SCENES / 2}


@pytest.mark.parametrize(("name", "questions"), [("pope", 12), ("seed", 5), ("mmbench", 20), ("llava_w", 3)])
def test_the_real_benchmarks_readers_read_them(out: Path, name: str, questions: int) -> None:
    paths = {"seed": "scenes_seed.json", "mmbench": "scenes_mmbench.tsv"}
    found = benchmarks.load(name).read_questions([out / name / paths.get(name, "")])
    assert len(found.questions) == questions * SCENES
    assert all(one.image in found.images or (out / "images" / str(one.image)).is_file() for one in found.questions)


def test_the_commands_take_the_parks_base_and_let_it_finish() -> None:
    told = commands(Path("out"), WORLDS["park"])
    assert all("--model.lvlm.path shipped:park " in line for line in told)
    # five sentences are up to 70 tokens
    assert "--model.max_new_tokens 96" in told[-1]
