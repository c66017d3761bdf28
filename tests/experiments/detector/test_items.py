"""Items of each level from rows of the store: labels, tokens of statements, self-consistency, scores by hand."""

import math
from typing import Any

import numpy as np
import pytest

from data_modules.scenes import SceneImages, SceneTruth
from experiments.detector.items import LOGP, Items, all_items, token_spans
from experiments.detector.results import compute_results, markdown, tables

# a question about one thing has an answer of one statement
KEYS = SceneImages(12, follow=0.5, seed=4, world="park").keys()
TRUTH = SceneTruth()


def row(image: str, sample: int, answer: str, logp: list[float], question: str, kind: str) -> dict[str, Any]:
    words = answer.split(" ")
    texts = [words[0], *(f" {word}" for word in words[1:])]
    logq = [-1.0] * len(texts)
    told = {"texts": texts, "logp": logp, "logq": logq, "kl": [0.0] * len(texts), "other": logq}
    return {
        "image": image,
        "kind": kind,
        "sample": sample,
        "question": question,
        "answer": answer,
        "rejected": "",
        **told,
    }


def samples() -> list[dict[str, Any]]:
    """Three answers about the color of a thing of each image: two that are true, and one that is not."""
    out = list[dict[str, Any]]()
    for image in KEYS:
        (asked,) = (one for one in TRUTH.questions([image]) if one.kind == "color")
        wrong = "red" if asked.answer != "red" else "blue"
        for sample, answer in enumerate((asked.answer, asked.answer, wrong)):
            value = -2.0 if answer == wrong else -0.5
            out.append(row(image, sample, answer, [value], asked.question, "color"))
    return out


def test_answers_sentences_and_tokens_of_short_answers() -> None:
    rejected = {**row("park_1_0.png", 0, "red", [0.0], "?", "color"), "rejected": "no pair"}
    levels = all_items([*samples(), rejected])
    for items in levels.values():
        assert items.right.tolist() == [True, True, False] * 12
        assert items.tokens.tolist() == [1] * 36
        assert np.isfinite(items.strength).all()
        assert items.scores[LOGP].tolist() == [-0.5, -0.5, -2.0] * 12
        assert items.scores["gap"] == pytest.approx([0.5, 0.5, -1.0] * 12)
        assert items.scores["answer"] == pytest.approx(
            [0.5 * math.exp(-0.5), 0.5 * math.exp(-0.5), -math.exp(-2.0)] * 12
        )
        assert items.scores["self-consistency, group"] == pytest.approx([2 / 3, 2 / 3, 1 / 3] * 12)
        assert items.scores["answer, another image"].tolist() == [0.0] * 36


def test_a_description_is_judged_part_by_part() -> None:
    image = KEYS[0]
    (asked,) = (one for one in TRUTH.questions([image]) if one.kind == "detail")
    first, *rest = asked.answer.split(". ")
    words = first.split(" ")
    size = "small" if words[1] == "large" else "large"
    answer = ". ".join([" ".join([words[0], size, *words[2:]]), *rest])
    logp = [-1.0] * len(answer.split(" "))
    logp[1] = -4.0
    levels = all_items([row(image, 0, answer, logp, asked.question, "detail")])
    statements = 5 * (1 + len(rest))
    assert levels["answers"].right.tolist() == [False]
    assert levels["answers"].share.tolist() == pytest.approx([1 - 1 / statements])
    assert levels["sentences"].right.tolist() == [False, *[True] * len(rest)]
    # number, size, color, thing, and the words of the place
    wrong = levels["tokens"].scores[LOGP][~levels["tokens"].right]
    assert wrong.tolist() == [-4.0]
    low = levels["answers"].scores["gap, min sentence"].tolist()
    assert low == pytest.approx([-3.0 / len(words)])


def test_spans_of_tokens_leave_out_blanks() -> None:
    assert token_spans(["two", " red", "", " ", "dots"]) == [(0, 3), (4, 7), (7, 7), (8, 8), (8, 12)]


def test_results_say_which_score_tells_them_apart() -> None:
    levels = all_items(samples())
    results = compute_results(levels, samples=20)
    answers = results["levels"]["answers"]
    assert (answers["count"], answers["images"], answers["right"]) == (36, 12, pytest.approx(2 / 3))
    gap, positions = answers["scores"]["gap"], answers["scores"]["positions"]
    assert gap["auroc"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert gap["precision"]["0.5"]["value"] == pytest.approx(1.0)
    assert positions["auroc"]["value"] == 0.5
    assert positions["above_log_p"]["value"] == -0.5
    none, below = (results["dropping"][name] for name in ("none", "gap below 0"))
    assert none["right_answers"]["value"] == pytest.approx(2 / 3)
    assert below["dropped"] == pytest.approx(1 / 3)
    assert below["answers_left"] == pytest.approx(2 / 3)
    assert below["right_answers"]["value"] == 1.0
    # of an image, the two right samples are the best, or all three are equal
    assert gap["best_of_group"]["right"]["value"] == 1.0
    assert positions["best_of_group"]["right"]["value"] == pytest.approx(2 / 3)
    text = markdown(tables(results))
    assert "| gap | 1.000 (1.000 to 1.000) | 1.000 (1.000 to 1.000) | 0.000 (0.000 to 0.000) |" in text


def test_no_item_of_another_level() -> None:
    unknown = row(KEYS[0], 0, "who knows", [-1.0, -1.0], "Why?", "color")
    levels = all_items([unknown])
    assert levels["answers"].right.tolist() == [False]
    assert isinstance(levels["tokens"], Items)
    assert len(levels["tokens"].right) == len(levels["sentences"].right) == 0
