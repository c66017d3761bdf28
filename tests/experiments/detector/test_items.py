"""Items of each level from rows of the store: labels, tokens of statements, self-consistency, scores by hand."""

import math
from typing import Any

import numpy as np
import pytest

from data_modules.scenes import SceneImages, SceneTruth
from experiments.detector.items import LEVELS, LOGP, Items, all_items, token_spans
from experiments.detector.results import compute_results, markdown, tables
from lightning_c3l.scenes.park.world import PRIOR

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
    things = [next(name for name in PRIOR if name in one["question"]) for one in samples()]
    for items in levels.values():
        assert items.right.tolist() == [True, True, False] * 12
        assert items.tokens.tolist() == [1] * 36
        assert items.strength.tolist() == [PRIOR[name].strength for name in things]
        assert items.scores[LOGP].tolist() == [-0.5, -0.5, -2.0] * 12
        assert items.scores["gap"] == pytest.approx([0.5, 0.5, -1.0] * 12)
        assert items.scores["answer"] == pytest.approx(
            [0.5 * math.exp(-0.5), 0.5 * math.exp(-0.5), -math.exp(-2.0)] * 12
        )
        assert items.scores["self-consistency, group"] == pytest.approx([2 / 3, 2 / 3, 1 / 3] * 12)
        assert items.scores["answer, another image"].tolist() == [0.0] * 36
        # of 36 values, 24 share the ranks 13 to 36 and 12 the ranks 1 to 12, by both readings
        ranks = [24.5 / 36, 24.5 / 36, 6.5 / 36] * 12
        assert items.scores["gap and log p, mean rank"] == pytest.approx(ranks)


def test_samples_agree_within_their_group_or_over_all_kinds_of_an_image() -> None:
    (asked,) = (one for one in TRUTH.questions(KEYS[:1]) if one.kind == "color")
    told = [("red", "color"), ("blue", "color"), ("red", "detail"), ("red", "detail"), ("who knows", "detail")]
    rows = [row(KEYS[0], 0, answer, [-1.0] * len(answer.split()), asked.question, kind) for answer, kind in told]
    scores = all_items(rows)["answers"].scores
    # what cannot be understood speaks of nothing that the others speak of
    assert scores["self-consistency, group"] == pytest.approx([1 / 2, 1 / 2, 1, 1, 1])
    assert scores["self-consistency, image"] == pytest.approx([3 / 4, 1 / 4, 3 / 4, 3 / 4, 1])


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
    # the size is a token of its own
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


def test_tables_by_kind_length_and_prior_have_right_and_wrong_items_enough() -> None:
    # 20 items in each bin of lengths, one of each two right, which scores higher in all bins but the last
    lengths = np.repeat([1, 2, 3, 8, 9, 20, 21, 90], 10)
    right = np.arange(80) % 2 == 0
    score = np.where(right, 1.0, -1.0) * np.where(lengths > 20, -1, 1)
    items = Items(
        images=[str(number) for number in range(80)],
        candidates=np.arange(80),
        right=right,
        share=right.astype(np.float64),
        kinds=["color"] * 61 + ["place"] * 19,
        tokens=lengths,
        strength=np.where(lengths < 9, 0.5, np.nan),
        scores=dict.fromkeys((LOGP, "answer", "gap"), score),
    )
    slices = compute_results(dict.fromkeys(LEVELS, items), samples=5)["levels"]["answers"]["slices"]
    aurocs = {name: own["auroc"]["answer"]["value"] for name, own in slices["tokens"].items()}
    assert aurocs == {"1 to 2": 1.0, "3 to 8": 1.0, "9 to 20": 1.0, "21 or more": 0.0}
    assert {own["count"] for own in slices["tokens"].values()} == {20}
    # of 19 items fewer than ten are right; items without a prior are in no slice of it
    assert {name: own["count"] for name, own in slices["kind"].items()} == {"color": 61}
    assert {name: own["count"] for name, own in slices["strength of the prior"].items()} == {"0.5": 40}


def test_an_answer_that_states_nothing_is_an_item_of_no_other_level() -> None:
    unknown = row(KEYS[0], 0, "who knows", [-1.0, -1.0], "Why?", "color")
    levels = all_items([unknown])
    assert levels["answers"].right.tolist() == [False]
    assert len(levels["tokens"].right) == len(levels["sentences"].right) == 0
