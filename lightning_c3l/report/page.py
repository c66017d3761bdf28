"""The page about a run: one HTML file without scripts or anything from outside."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_c3l.functional.finite import finite
from lightning_c3l.records import READINGS_AND_RIVAL, ScoredCandidate
from lightning_c3l.report.cards import ImageReader, best_and_worst, example_groups, inline_image
from lightning_c3l.report.charts import Series, bar_chart, bin_edges, histogram, line_chart, stacked_bars
from lightning_c3l.report.figures import READINGS, figure, nested, rounds_of
from lightning_c3l.report.tables import (
    Rounds,
    condition_figures,
    guard_figures,
    kind_shares,
    rejected_counts,
    rejected_texts,
    rounds_figures,
    writers_figures,
)
from lightning_c3l.report.templating import page_environment
from lightning_c3l.report.text import number

_FACTS = ("model", "seed", "command", "rejected_images")
_TRUTH = ("truth_rate", "positive_truth_rate", "random_truth_rate")
_SCORES = ("i2c_mean", "i2c_positive_mean", "i2c_shuffled_mean")


def render_report(summary: Mapping[str, Any], candidates_by_round: Rounds, read_image: ImageReader) -> str:
    """The whole page; the same bytes for the same figures.

    Args:
        summary: figures of the run; whatever is missing is left out or shown as a dash.
        candidates_by_round: the generated texts of each round with their scores.
        read_image: the RGB image of an image key, None where it cannot be had.

    Returns:
        One HTML document, to be written as UTF-8.
    """
    writers, data, auroc = nested(summary, "writers"), nested(summary, "dataset"), nested(summary, "i2c_auroc")
    last = max(candidates_by_round, default=0)
    texts = candidates_by_round.get(last, ())
    best, worst = best_and_worst(texts)
    return (
        page_environment()
        .get_template("report.html")
        .render(
            name=str(summary.get("name") or "C3L run"),
            facts={key: summary[key] for key in _FACTS if summary.get(key) is not None},
            truth_rates=[nested(writers, name).get("truth_rate") for name in ("base", "tuned")],
            auroc=auroc,
            dataset=data,
            kinds=", ".join(f"{kind} {number(count, 0)}" for kind, count in nested(data, "kinds").items()),
            notes=summary.get("notes") or [],
            rounds=rounds_figures(summary),
            guard=guard_figures(nested(summary, "guard")),
            writers=writers_figures(writers),
            exposure_bias=condition_figures("Exposure bias", nested(summary, "exposure_bias")),
            kind_shares=kind_shares(summary),
            last=last,
            best=best,
            worst=worst,
            groups=example_groups(texts),
            rejected=rejected_counts(summary, candidates_by_round),
            rejected_texts=rejected_texts(candidates_by_round),
            readings=READINGS,
            images=lambda key: inline_image(read_image(key)),
            **_charts(summary, candidates_by_round),
        )
    )


def _charts(summary: Mapping[str, Any], candidates_by_round: Rounds) -> dict[str, Any]:
    """The charts of the page by the names of the template; a chart without data is None."""
    rounds, auroc = rounds_of(summary), nested(summary, "i2c_auroc")
    scores, truths = ([_over_rounds(rounds, key) for key in keys] for keys in (_SCORES, _TRUTH))
    shares = {f"round {one['round']}": nested(one, "kind_shares") for one in rounds}
    areas = {READINGS[key].label: auroc.get(key) for key in READINGS_AND_RIVAL}
    baseline = READINGS["mean_logp"].label
    is_judged = any(finite(value) is not None for one in truths for _, value in one.points)
    # on the same bins, so that rounds can be compared
    splits = {number: split_scores(candidates) for number, candidates in sorted(candidates_by_round.items())}
    edges = bin_edges(value for groups in splits.values() for values in groups.values() for value in values)
    return {
        "score_chart": line_chart("Mean S(I²C) over the rounds", scores, "round", "nats per token") if rounds else None,
        "truth_chart": line_chart("Truth rates over the rounds", truths, "round", "truth rate", (0.0, 1.0))
        if is_judged
        else None,
        "histograms": {
            number: histogram(f"Scores of round {number}", groups, "S(I²C), answer reading", edges=edges)
            for number, groups in splits.items()
        },
        "auroc_chart": bar_chart("Area under the ROC curve of each score", areas, (0.5, "chance"), baseline)
        if auroc
        else None,
        "kinds_chart": stacked_bars("Share of each question kind in every round", shares)
        if any(shares.values())
        else None,
    }


def _over_rounds(rounds: Sequence[Mapping[str, Any]], key: str) -> Series:
    """A figure of every round as a line."""
    numbered = [(finite(one["round"]), one.get(key)) for one in rounds]
    return Series(figure(key).label, [(x, value) for x, value in numbered if x is not None])


def split_scores(candidates: Sequence[ScoredCandidate]) -> dict[str, list[float | None]]:
    """The `answer` readings by verdict where verdicts are known, else with the own and with another image."""
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
