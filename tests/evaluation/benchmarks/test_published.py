"""The published figures, from the published answers."""

from pathlib import Path

import pytest

from lightning_c3l.evaluation.benchmarks import load
from lightning_c3l.evaluation.benchmarks.answers import read_answers
from lightning_c3l.evaluation.benchmarks.evaluation import evaluate
from lightning_c3l.evaluation.benchmarks.review_scores import evaluate_reviews

ANSWERS = "llava-v1.5-answers"


@pytest.mark.parametrize("protocol", ["reference", "strict"])  # all answers are Yes or No
def test_pope_of_llava(shared_data: Path, protocol: str) -> None:
    questions = load("pope").read_questions([shared_data / "pope" / "coco-20230810"])
    answers = read_answers([shared_data / ANSWERS / "pope" / "llava-v1.5-13b.jsonl"], "pope")
    found = evaluate(load("pope"), questions, answers, protocols=[protocol]).protocols[protocol]
    table = found.tables["split"]
    splits = ("random", "popular", "adversarial")
    assert [round(table[split]["f1"], 5) for split in splits] == [0.87136, 0.86246, 0.84459]
    assert [round(table[split]["accuracy"], 5) for split in splits] == [0.88007, 0.87433, 0.855]
    assert [round(table[split]["recall"], 3) for split in splits] == [0.788, 0.788, 0.788]
    assert [table[split]["n"] for split in splits] == [2910, 3000, 3000]
    assert found.headline is not None
    assert round(100 * found.headline, 1) == 85.9
    assert found.interval is not None
    assert found.interval[0] < found.headline < found.interval[1]


def test_mmbench_of_llava(shared_data: Path) -> None:
    answers = read_answers([shared_data / ANSWERS / "mmbench" / "mmbench_dev_20230712.xlsx"], "mmbench")
    found = evaluate(load("mmbench"), None, answers)
    figures = found.protocols["circular"].figures
    assert found.value is not None
    assert round(100 * found.value, 3) == 67.687
    assert round(100 * figures["single_pass"], 1) == 76.4
    assert round(100 * figures["first_pass"], 1) == 75.4
    assert (figures["groups"], figures["groups_with_fewer_rows_than_options"]) == (1176, 53)
    assert (found.model, found.protocols["circular"].parse_failures) == ("", 0)
    assert not found.protocols["circular"].tables
    assert len(found.protocols["circular"].notes) == 2  # neither category is in the file


@pytest.mark.parametrize("protocol", ["letter", "strict"])
def test_seed_of_gpt4v(shared_data: Path, protocol: str) -> None:
    answers = read_answers([shared_data / "seed-bench-gpt4v" / "GPT-4V_SEED-Bench-1.json"], "seed")
    found = evaluate(load("seed"), None, answers, protocols=[protocol])
    table = found.protocols[protocol].tables["data_type"]
    assert found.value is not None
    assert round(100 * found.value, 1) == 67.3
    assert {kind: round(100 * row["accuracy"], 1) for kind, row in table.items()} == {"image": 69.1, "video": 60.5}
    assert (found.counts["repeated_same"], found.counts["repeated_contradicting"]) == (5, 3)
    assert any("question_type" in note for note in found.protocols[protocol].notes)
    with pytest.raises(ValueError, match="cannot serve rank"):
        evaluate(load("seed"), None, answers, protocols=["rank"])


def test_llava_bench_of_llava_in_three_rounds(shared_data: Path) -> None:
    folder = shared_data / ANSWERS / "llava-bench-in-the-wild"
    paths = [folder / f"llava-v1.5-13b-eval{number}.jsonl" for number in (1, 2, 3)]
    found = evaluate_reviews(None, paths).protocols["reference"]
    assert [round(row["score"], 1) for row in found.tables["file"].values()] == [72.8, 72.7, 72.1]
    assert found.headline is not None
    assert round(found.headline, 2) == 72.53
    assert [row["n"] for row in found.tables["kind"].values()] == [84, 51, 45]
