"""The charts of the page, from a summary and the candidates to figures with captions."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_c3l.records import READINGS_AND_RIVAL, ScoredCandidate
from lightning_c3l.report.figures import READINGS, figure, nested, rounds_of
from lightning_c3l.report.markup import element, esc, finite
from lightning_c3l.report.scale import bin_edges
from lightning_c3l.report.svg import Series, bar_chart, histogram, line_chart, stacked_bars

_TRUTH = ("truth_rate", "positive_truth_rate", "random_truth_rate")
_SCORES = ("i2c_mean", "i2c_positive_mean", "i2c_shuffled_mean")


def captioned(chart: str, caption: str) -> str:
    """A chart with the sentence under it."""
    return element("figure", chart, element("figcaption", esc(caption)))


def _over_rounds(summary: Mapping[str, Any], keys: Sequence[str]) -> list[Series]:
    rounds = rounds_of(summary)
    places = [finite(one["round"]) for one in rounds]
    return [
        Series(
            figure(key).label,
            [(x, one.get(key)) for x, one in zip(places, rounds, strict=True) if x is not None],
        )
        for key in keys
    ]


def _truth_known(summary: Mapping[str, Any]) -> bool:
    return any(finite(one.get(key)) is not None for one in rounds_of(summary) for key in _TRUTH)


def rounds_charts(summary: Mapping[str, Any]) -> str:
    """Truth rates, where truth is known, and mean scores over the rounds."""
    scores = line_chart("Mean S(I²C) over the rounds", _over_rounds(summary, _SCORES), "round", "nats a token")
    caption = "Mean score of all texts, of the positives, and of all texts against another sample's image."
    figures = [captioned(scores, caption)]
    if _truth_known(summary):
        series = _over_rounds(summary, _TRUTH)
        chart = line_chart("Truth rates over the rounds", series, "round", "truth rate", (0.0, 1.0))
        caption = (
            "How much of what was written is right, and of what S(I²C) or chance chose from it. "
            "The distance between the last two lines is what choosing by the score is worth."
        )
        figures.insert(0, captioned(chart, caption))
    return element("div", *figures, class_="charts")


def split_scores(candidates: Sequence[ScoredCandidate]) -> dict[str, list[float | None]]:
    """The `answer` readings by verdict where verdicts are known, else by right and other image."""
    scored = [(one, one.scores.answer) for one in candidates if one.scores is not None]
    if any(one.verdict for one, _ in scored):
        return {
            "right": [score for one, score in scored if one.verdict == "right"],
            "not right": [score for one, score in scored if one.verdict and one.verdict != "right"],
        }
    return {
        "right image": [score for _, score in scored],
        "another image": [one.shuffled for one, _ in scored],
    }


def histograms(candidates_by_round: Mapping[int, Sequence[ScoredCandidate]]) -> str:
    """The scores of each round on the same bins, so that rounds can be compared."""
    rounds = {number: split_scores(candidates) for number, candidates in sorted(candidates_by_round.items())}
    edges = bin_edges(value for groups in rounds.values() for values in groups.values() for value in values)
    figures = [
        captioned(histogram(f"Scores of round {number}", groups, edges, "S(I²C), answer reading"), f"Round {number}")
        for number, groups in rounds.items()
    ]
    return element("div", *figures, class_="charts")


def auroc_chart(auroc: Mapping[str, Any]) -> str:
    """The readings of S(I2C) beside plain confidence."""
    bars = {READINGS[key].label: auroc.get(key) for key in READINGS_AND_RIVAL}
    rival = READINGS["mean_logp"].label
    chart = bar_chart("Area under the ROC curve of each score", bars, (0.5, "chance"), rival)
    caption = (
        "How well each score tells right texts from the others: the chance that a right one scores higher "
        "than one that is not. Plain confidence stands beside the readings as their rival."
    )
    count = finite(auroc.get("n"))
    return captioned(chart, caption if count is None else f"{caption} From {count:,.0f} texts.")


def kinds_chart(summary: Mapping[str, Any]) -> str:
    """Shares of the question kinds, one bar a round."""
    rows = {f"round {one['round']}": nested(one, "kind_shares") for one in rounds_of(summary)}
    caption = "What the written questions ask for. A kind that takes over means the writer drifts to what is easy."
    return captioned(stacked_bars("Share of each question kind in every round", rows), caption)
