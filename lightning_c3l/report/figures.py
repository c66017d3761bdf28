"""The figures of a run: how each is called on the page and what it means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """How a figure is shown.

    Attributes:
        label: its name in tables and charts.
        meaning: one short sentence for the reader.
        digits: decimals, unless the value is a whole number.
    """

    label: str
    meaning: str = ""
    digits: int = 3


FIGURES: dict[str, Figure] = {
    "images": Figure("images", "Unlabelled pictures the round wrote about.", 0),
    "groups": Figure("groups", "One image with one instruction; pseudo-labels are chosen inside a group.", 0),
    "candidates": Figure("candidates", "Texts the model wrote.", 0),
    "parsed_rate": Figure("parsed rate", "Share of the texts that hold a question and an answer."),
    "truth_rate": Figure(
        "truth rate",
        "Right pairs over all written texts; unparsable and unanswerable texts count as not right.",
    ),
    "positive_truth_rate": Figure(
        "truth rate, chosen by S(I²C)", "Share of right pairs among the positives, the best of each group."
    ),
    "random_truth_rate": Figure(
        "truth rate, random choice", "The same for a random choice of equal size and equal answer length."
    ),
    "i2c_mean": Figure("S(I²C), all", "Mean score of the parsed texts, in nats a token."),
    "i2c_positive_mean": Figure("S(I²C), positives", "Mean score of the texts that became positives."),
    "i2c_shuffled_mean": Figure(
        "S(I²C), another image",
        "Mean score against another sample's image; it should stay well below the mean with the right one.",
    ),
    "image_contrast": Figure(
        "contrast of images",
        "How far S(I²C) with the right image stands above another one's, between \u22121 and 1, whatever their size.",
    ),
    "held_out": Figure(
        "S(I²C) on held-out images",
        "What a text owes to its own image and to no other, scored by the starting model; not parsed counts 0.",
    ),
    "inflation": Figure(
        "own score over frozen score",
        "S(I²C) of the round by the run's scorer over that by the starting model; a rise is a model sure of itself.",
    ),
    "answer_tokens": Figure("answer length", "Mean length of the answers, in tokens.", 2),
    "kind_entropy": Figure("kind entropy", "How evenly the question kinds are spread; a fall means a drift to few."),
    "distinct_rate": Figure("distinct questions", "Different questions over all questions."),
    "length_correlation": Figure(
        "length correlation", "Rank correlation of the score with the answer's length; near 0 is good."
    ),
    "qa_accuracy": Figure("answering accuracy", "Share of given questions that the model answers right."),
    "pairs": Figure("pairs", "Question-answer pairs in the written data set.", 0),
}

READINGS: dict[str, Figure] = {
    "answer": Figure("S(I²C) answer", "Mean of p(log p - log q): the default reading."),
    "positions": Figure("S(I²C) positions", "Divergence over the answer's token positions."),
    "vocabulary": Figure("S(I²C) vocabulary", "Divergence over the whole vocabulary, whatever the answer says."),
    "gap": Figure("S(I²C) gap", "Mean of log p - log q."),
    "mean_logp": Figure("mean log p", "Plain confidence with the image: the rival of every reading."),
    "mean_logq": Figure("mean log q", "Confidence without the image."),
    "tokens": Figure("tokens", "Length of the answer.", 0),
}


def figure(key: str) -> Figure:
    """What is known about a figure; a new one is shown under its own name."""
    known = FIGURES.get(key) or READINGS.get(key)
    return known or Figure(key.replace("_", " "))


def rounds_of(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rounds of a summary, each with its number."""
    rounds: Sequence[Mapping[str, Any]] = summary.get("rounds") or []
    return [{**one, "round": one.get("round", place)} for place, one in enumerate(rounds)]


def nested(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping under `key`, empty where there is none."""
    inner = mapping.get(key)
    return inner if isinstance(inner, Mapping) else {}
