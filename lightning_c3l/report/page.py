"""The page about a run: one HTML file that holds all that it shows and asks for nothing from outside."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from lightning_c3l.extensions import is_path
from lightning_c3l.records import READINGS_AND_RIVAL, ScoredCandidate
from lightning_c3l.report.candidate_columns import CandidateColumns
from lightning_c3l.report.charts import bar_chart
from lightning_c3l.report.curves import curves
from lightning_c3l.report.distributions import distributions
from lightning_c3l.report.extras import RunExtras
from lightning_c3l.report.figures import nested, reading_label
from lightning_c3l.report.first_screen import FirstScreen
from lightning_c3l.report.gallery import Gallery, exported_pairs, shown_pairs, with_tokens
from lightning_c3l.report.tables import (
    benchmark_tables,
    dataset_figures,
    exposure_figures,
    guard_figures,
    rejected_counts,
    rounds_figures,
    status_counts,
    type_shares,
    writers_figures,
)
from lightning_c3l.report.templating import FigureTable, page_environment
from lightning_c3l.report.thumbnails import ImageReader, thumbnails

# characters of a configuration
_CONFIG_LIMIT = 200_000

# what the sections are called, in their order; a page has those that it has something to show of
_SECTIONS = {
    "rounds": "Over the rounds",
    "scores": "Distribution of the score",
    "auroc": "What the score tells apart",
    "pairs": "Pairs",
    "texts": "What became of the texts",
    "models": "Starting and tuned model",
    "exposure": "Exposure bias",
    "dataset": "Data set",
    "benchmarks": "Benchmarks",
    "settings": "Configuration and digests",
}


def render_report(
    summary: Mapping[str, Any],
    candidates_by_round: Mapping[int, Sequence[ScoredCandidate]],
    read_image: ImageReader,
    extras: RunExtras = RunExtras(),  # noqa: B008  # frozen
) -> str:
    """The whole page; the same bytes for the same figures.

    Args:
        summary: figures of the run; whatever is missing is left out.
        candidates_by_round: the generated texts of each round with their scores; each round is read once, and the
            few that are shown once more.
        read_image: the RGB image of an image key, None where it cannot be had.
        extras: what else the run folder holds.

    Returns:
        One HTML document, to be written as UTF-8.
    """
    first = FirstScreen.of(summary)
    # first, so that its columns are gone when those of the rounds come
    exported = exported_pairs(extras.exported, extras.reading)
    rounds = {number: CandidateColumns.of(own, extras.reading) for number, own in candidates_by_round.items()}
    pairs = with_tokens(shown_pairs(rounds, exported, extras.answers), extras.tokens)
    contents = {
        "rounds": curves(summary, rounds, extras),
        "scores": distributions(rounds),
        "auroc": _auroc(nested(summary, "i2c_auroc")),
        "pairs": Gallery(pairs) if pairs else None,
        "texts": _present(status_counts(rounds), rejected_counts(summary, rounds)),
        "models": writers_figures(nested(summary, "writers")),
        "exposure": exposure_figures(nested(summary, "exposure_bias")),
        "dataset": dataset_figures(nested(summary, "dataset")),
        "benchmarks": benchmark_tables(extras.evaluations),
        "settings": extras.config or extras.digests,
    }
    return (
        page_environment()
        .get_template("report.html")
        .render(
            name=", ".join(filter(None, (str(summary.get("name") or "C3L run"), extras.folder.replace("_", " ")))),
            first=first,
            notes=[*first.headline.notes, *(summary.get("notes") or [])],
            sections={key: title for key, title in _SECTIONS.items() if contents[key]},
            contents=contents,
            figures=_present(rounds_figures(summary), guard_figures(nested(summary, "guard")), type_shares(summary)),
            auroc_texts=nested(summary, "i2c_auroc").get("n"),
            config=extras.config[:_CONFIG_LIMIT],
            digests=extras.digests,
            wrong=extras.wrong,
            images=thumbnails(read_image),
        )
    )


def _present(*tables: FigureTable | None) -> list[FigureTable]:
    return [table for table in tables if table is not None]


def _auroc(areas: Mapping[str, Any]) -> Markup | None:
    """Bars of the readings beside plain confidence; None where no truth is known."""
    names = [*READINGS_AND_RIVAL, *filter(is_path, areas)]
    if not any(areas.get(name) is not None for name in names):
        return None
    bars = {reading_label(name).label: areas.get(name) for name in names}
    return bar_chart("Area under the ROC curve of each score", bars, (0.5, "chance"), reading_label("mean_logp").label)
