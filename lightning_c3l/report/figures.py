"""The figures of a run: how each is called on the page and what it means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FigureLabel:
    """How a figure is shown.

    Attributes:
        label: its name in tables and charts.
        meaning: one short sentence for the reader.
        digits: decimals, unless the value is a whole number.
    """

    label: str
    meaning: str = ""
    digits: int = 3


FIGURES: dict[str, FigureLabel] = {
    "images": FigureLabel("images", "Unlabelled images of the round.", 0),
    "groups": FigureLabel("groups", "One image with one instruction; pseudo-labels are chosen inside a group.", 0),
    "candidates": FigureLabel("candidates", "Texts that the model generated.", 0),
    "parsed_rate": FigureLabel("parsed rate", "Share of the texts that hold a question and an answer."),
    "truth_rate": FigureLabel(
        "truth rate",
        "Right pairs over all candidates; unparsable and unanswerable texts count as not right.",
    ),
    "positive_truth_rate": FigureLabel(
        "truth rate, selected by S(I²C)", "Share of right pairs among the positives, the best of each group."
    ),
    "random_truth_rate": FigureLabel(
        "truth rate, random selection", "The same for a random selection of equal size and equal answer length."
    ),
    "i2c_mean": FigureLabel("S(I²C), all", "Mean score of the parsed texts, in nats per token."),
    "i2c_positive_mean": FigureLabel("S(I²C), positives", "Mean score of the texts that became positives."),
    "i2c_shuffled_mean": FigureLabel(
        "S(I²C), another image",
        "Mean score against another sample's image; it should stay well below the mean with the right one.",
    ),
    "image_contrast": FigureLabel(
        "contrast of images",
        "(r \u2212 s) / (|r| + |s|) of the mean S(I²C) with the right image, r, and with another one, s.",
    ),
    "held_out": FigureLabel(
        "S(I²C) on held-out images",
        "S(I²C) with the own minus that with another image, by the starting model; unparsed texts count as 0.",
    ),
    "inflation": FigureLabel(
        "own score over frozen score",
        "S(I²C) by the run's scorer over that by the starting model; a rise means an overconfident scorer.",
    ),
    "answer_tokens": FigureLabel("answer length", "Mean length of the answers, in tokens.", 2),
    "kind_entropy": FigureLabel("kind entropy", "Entropy of the question kinds; a fall means a drift to few of them."),
    "distinct_rate": FigureLabel("distinct questions", "Different questions over all questions."),
    "length_correlation": FigureLabel(
        "length correlation", "Rank correlation of the score with the answer's length; near 0 is good."
    ),
    "qa_accuracy": FigureLabel("answering accuracy", "Share of the given questions that the model answers correctly."),
    "pairs": FigureLabel("pairs", "Question-answer pairs in the exported data set.", 0),
}

READINGS: dict[str, FigureLabel] = {
    "answer": FigureLabel("S(I²C) answer", "Mean of p(log p - log q): the default reading."),
    "positions": FigureLabel("S(I²C) positions", "Divergence over the answer's token positions."),
    "vocabulary": FigureLabel("S(I²C) vocabulary", "Divergence over the whole vocabulary, whatever the answer says."),
    "gap": FigureLabel("S(I²C) gap", "Mean of log p - log q."),
    "mean_logp": FigureLabel("mean log p", "Confidence with the image: the baseline that every reading must beat."),
    "mean_logq": FigureLabel("mean log q", "Confidence without the image."),
    "tokens": FigureLabel("tokens", "Length of the answer.", 0),
}


def figure(key: str) -> FigureLabel:
    """What is known about a figure; a new one is shown under its own name."""
    known = FIGURES.get(key) or READINGS.get(key)
    return known or FigureLabel(key.replace("_", " "))


def rounds_of(summary: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rounds of a summary, each with its number."""
    rounds: Sequence[Mapping[str, Any]] = summary.get("rounds") or []
    return [{**one, "round": one.get("round", index)} for index, one in enumerate(rounds)]


def nested(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The mapping under `key`, empty where there is none."""
    inner = mapping.get(key)
    return inner if isinstance(inner, Mapping) else {}
