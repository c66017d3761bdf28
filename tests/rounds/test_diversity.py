"""Diversity of written questions: entropy, distinctness and the classifier of questions."""

import math
from pathlib import Path

import pytest
import torch

from lightning_c3l.rounds.diversity import DistinctRate, KindEntropy, distinct_rate, kind_entropy
from lightning_c3l.selection.texts import QUESTION_TYPES, question_type
from tests.helpers.ranks import run_ranks

# Shares 1/2, 1/4, 1/4: (1/2) ln 2 + 2 (1/4) ln 4 = (3/2) ln 2.
KINDS = ["what", "what", "color", "number"]
ENTROPY = 1.5 * math.log(2)

PAIRS = [("a", "What?"), ("a", "What?"), ("b", "What?"), ("a", "Who?")]


def test_kind_entropy_closed_form() -> None:
    assert kind_entropy(KINDS) == pytest.approx(ENTROPY)
    assert kind_entropy(["x"] * 9) == 0.0
    assert kind_entropy(list("abcdefg")) == pytest.approx(math.log(7))
    assert kind_entropy([]) == 0.0


def test_distinct_rate_closed_form() -> None:
    assert distinct_rate(PAIRS) == 0.75
    assert distinct_rate([("a", "q")] * 4) == 0.25
    assert distinct_rate([]) == 0.0
    # The border between image and question counts.
    assert distinct_rate([("ab", "c"), ("a", "bc")]) == 1.0


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Is the cat asleep?", "yes_no"),
        ("ARE THERE dogs?", "yes_no"),
        ("does it rain", "yes_no"),
        ("Isn't this a bus?", "yes_no"),
        ("Can\u2019t he see it?", "yes_no"),
        ("Would you call this a park?", "yes_no"),
        ("How many dogs are there?", "number"),
        ("How much snow lies here?", "number"),
        ("What number is on the shirt?", "number"),
        ("What is the number of windows?", "number"),
        ("To how many people does he speak?", "number"),
        ("Approximately how many birds are there?", "number"),
        ("Where is the ball?", "place"),
        ("Where's the ball?", "place"),
        ("In which corner is the square?", "place"),
        ("in what part of the picture is it?", "place"),
        ("Which corner is it in?", "place"),
        ("What position does the circle have?", "place"),
        ("In which place was this taken?", "place"),
        ("What color is the car?", "color"),
        ("WHICH COLOUR has the car?", "color"),
        ("What colours do you see?", "color"),
        ("Of what color is the roof?", "color"),
        ("What is the color of the car?", "color"),
        ("What's the colour of the car?", "color"),
        ("In the image, what color is the car?", "color"),
        ("What is he holding?", "what"),
        ("With what does he cut?", "what"),
        ("What part of the bus is open?", "what"),
        ("Who wears a hat?", "who"),
        ("Whose hat is it?", "who"),
        ("With whom does she talk?", "who"),
        ("Why is it wet?", "why"),
        ("How does he stand?", "how"),
        ("For how long has it rained?", "how"),
        ("When was this taken?", "when"),
        ("Which animal is larger?", "which"),
        ("On which animal does he ride?", "which"),
        ("In the left corner, is there a dog?", "yes_no"),
        ("Describe the scene.", "other"),
        ("The car is red", "other"),
        ("In the garden", "other"),
        ("Island life?", "other"),
        ("Whatever", "other"),
        ("", "other"),
        ("?!", "other"),
    ],
)
def test_question_type(question: str, kind: str) -> None:
    assert question_type(question) == kind
    assert kind in QUESTION_TYPES


def test_kind_entropy_metric_accumulates_batches() -> None:
    metric = KindEntropy()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert metric.compute().item() == 0.0
    metric.update(KINDS[:1])
    metric.update(KINDS[1:])
    assert metric.compute().item() == pytest.approx(ENTROPY)
    assert metric.counts.sum().item() == len(KINDS)
    metric.reset()
    metric.update(["who"])
    assert metric.compute().item() == 0.0
    assert metric.higher_is_better is True


def test_kind_entropy_metric_takes_kinds_of_its_own() -> None:
    metric = KindEntropy(kinds=("detail", "short"))
    metric.update(["short", "detail"])
    assert metric.compute().item() == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match="'what'"):
        metric.update(["what"])
    # Nothing of a refused batch is counted.
    with pytest.raises(ValueError, match="'what'"):
        metric.update(["short", "what"])
    assert metric.counts.tolist() == [1, 1]
    with pytest.raises(ValueError, match="distinct"):
        KindEntropy(kinds=("a", "a"))


def test_distinct_rate_metric_sees_repeats_across_batches() -> None:
    metric = DistinctRate()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert metric.compute().item() == 0.0
    metric.update(PAIRS[:1])
    metric.update([])
    metric.update(PAIRS[1:])
    assert metric.compute().item() == pytest.approx(0.75)
    metric.reset()
    metric.update([("ab", "c"), ("a", "bc")])
    assert metric.compute().item() == 1.0
    assert metric.higher_is_better is True


def test_hashes_do_not_depend_on_the_process() -> None:
    # Python's own hash() is salted per process and would count the same pair twice over two ranks.
    metric = DistinctRate()
    metric.update([("a", "q")])
    other = DistinctRate()
    other.update([("a", "q"), ("a", "r")])
    assert metric.hashes[0].dtype == torch.int64
    assert metric.hashes[0][0] == other.hashes[0][0] != other.hashes[0][1]


def _measure_on_rank(rank: int, folder: str) -> None:
    entropy, shared, lopsided = KindEntropy(), DistinctRate(), DistinctRate()
    entropy.update(KINDS[:3] if rank == 0 else KINDS[3:])
    shared.update(PAIRS[:1] if rank == 0 else PAIRS[1:])
    if rank == 0:
        # The other rank has nothing to add.
        lopsided.update(PAIRS)
    values = [m.compute().item() for m in (entropy, shared, lopsided)]
    torch.save(values, Path(folder, f"{rank}.pt"))


def test_two_ranks_agree_with_one(tmp_path: Path) -> None:
    run_ranks(_measure_on_rank, str(tmp_path))
    for rank in range(2):
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx([ENTROPY, 0.75, 0.75])
