"""The page about a finished run: one HTML file without scripts or anything from outside."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report import cards, charts, tables
from lightning_c3l.report.figures import nested, rounds_of
from lightning_c3l.report.markup import MISSING, element, esc, exact, finite, number
from lightning_c3l.report.rejected import rejected_html

Rounds = Mapping[int, Sequence[ScoredCandidate]]

# The page quotes texts that a model wrote. They are escaped; this is the second lock on the same door.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_FACTS = ("model", "seed", "command", "rejected_images")

_ABOUT = (
    "This is our reading of C3L (arXiv 2405.12752): a model writes its own questions and answers about "
    "pictures, S(I²C) says how much an answer owes to its picture, and the best answers train the model. "
    "Every figure comes from this run; none is the paper's result."
)


def render_report(summary: Mapping[str, Any], candidates_by_round: Rounds, picture: cards.Picture) -> str:
    """The whole page.

    Args:
        summary: figures of the run; whatever is missing is left out or shown as a dash.
        candidates_by_round: the written texts of each round with their scores.
        picture: the RGB picture of an image key, None where it cannot be had.

    Returns:
        One HTML document, to be written as UTF-8.
    """
    name = summary.get("name") or "C3L run"
    style = files(__package__).joinpath("report.css").read_text(encoding="utf-8")
    head = (
        element("meta", charset="utf-8")
        + element("meta", http_equiv="Content-Security-Policy", content=_POLICY)
        + element("meta", name="viewport", content="width=device-width, initial-scale=1")
        + element("meta", name="color-scheme", content="light dark")
        + element("title", esc(f"{name}: C3L report", 120))
        + element("style", style)
    )
    body = element("header", _header(summary, str(name))) + element(
        "main", _figures(summary, candidates_by_round), _texts(summary, candidates_by_round, picture)
    )
    document = element("html", element("head", head), element("body", body), lang="en")
    return f"<!DOCTYPE html>\n{document}\n"


def _header(summary: Mapping[str, Any], name: str) -> str:
    facts = [(key, summary[key]) for key in _FACTS if summary.get(key) is not None]
    listed = "".join(
        element("dt", esc(key.replace("_", " "))) + element("dd", element("code", esc(value, 2000)))
        for key, value in facts
    )
    about = element("p", esc(_ABOUT), class_="about")
    return element("h1", esc(name, 120)) + about + (element("dl", listed, class_="facts") if facts else "")


def _section(title: str, explanation: str, content: str) -> str:
    """A section, or a line that says that there is nothing to show."""
    inside = content or element("p", "Not measured in this run.", class_="empty")
    about = element("p", esc(explanation)) if explanation and content else ""
    return element("section", element("h2", esc(title)), about, inside)


def _figures(summary: Mapping[str, Any], candidates_by_round: Rounds) -> str:
    """The sections made of numbers."""
    rounds, auroc = rounds_of(summary), nested(summary, "i2c_auroc")
    writers, bias = nested(summary, "writers"), nested(summary, "exposure_bias")
    shares = any(nested(one, "kind_shares") for one in rounds)
    folded = element("details", element("summary", "as numbers"), tables.shares_html(summary))
    several = "Each round writes, scores, selects and trains once."
    spread = "Answer readings of S(I²C). The further the two shapes lie apart, the more the score is worth."
    separate = "S(I²C) is only useful where it tells right texts from invented ones."
    wrote = "The starting model and the tuned model, each writing afresh."
    own = "How each condition does after a prefix the model wrote itself and after a reference prefix."
    guard = nested(summary, "guard")
    judged = "State k is the model that writes round k; the last one writes the data set. " + _kept(guard)
    notes = "".join(element("li", esc(note, 1000)) for note in summary.get("notes") or [])
    return "".join(
        [
            element("section", element("h2", "Headline figures"), headline(summary)),
            _section("Notes", "", element("ul", notes)) if notes else "",
            _section(
                "Rounds",
                several,
                charts.rounds_charts(summary) + tables.rounds_html(summary) if rounds else "",
            ),
            _section("Guard rails", judged, tables.guard_html(guard)) if guard.get("states") else "",
            _section(
                "Distribution of the score",
                spread,
                charts.histograms(candidates_by_round) if candidates_by_round else "",
            ),
            _section("What the score tells apart", separate, charts.auroc_chart(auroc) if auroc else ""),
            _section("Writers", wrote, tables.writers_html(writers) if writers else ""),
            _section("Exposure bias", own, tables.conditions_html("Exposure bias", bias) if bias else ""),
            _section("Question kinds", "", charts.kinds_chart(summary) + folded if shares else ""),
        ]
    )


def _kept(guard: Mapping[str, Any]) -> str:
    """Which state the guard holds for the best, and which one the run exports."""
    best, exported = nested(guard, "best").get("round"), guard.get("exported")
    return f"Best by the held-out criterion: state {best}. Adapter and data set are those of state {exported}."


def _texts(summary: Mapping[str, Any], candidates_by_round: Rounds, picture: cards.Picture) -> str:
    """The sections made of written texts."""
    last = max(candidates_by_round, default=0)
    texts = candidates_by_round.get(last, ())
    best, worst = cards.best_and_worst(texts)
    groups = "".join(cards.group_html(*group, picture) for group in cards.example_groups(texts))
    highest = f"Round {last}: the texts that owe most to their picture, by the answer reading."
    lowest = f"Round {last}: the texts that owe least to it, or that it speaks against."
    inside = f"Round {last}: groups of different pictures and kinds, the positive first, then its negatives."
    return "".join(
        [
            _section("Best pairs", highest, cards.cards(best, picture) if best else ""),
            _section("Worst pairs", lowest, cards.cards(worst, picture) if worst else ""),
            _section("Groups", inside, groups),
            _section(
                "Rejected texts",
                "Texts without a usable pair, by reason.",
                rejected_html(summary, candidates_by_round),
            ),
        ]
    )


def headline(summary: Mapping[str, Any]) -> str:
    """The few figures to read first, each with its meaning."""
    writers, data = nested(summary, "writers"), nested(summary, "dataset")
    base, tuned = nested(writers, "base").get("truth_rate"), nested(writers, "tuned").get("truth_rate")
    auroc = nested(summary, "i2c_auroc").get("answer")
    chosen = finite(data.get("random_truth_rate"))
    against = "" if chosen is None else f" A random choice of equal size has {number(chosen)}."
    tiles = [
        _tile(
            "Truth rate of written pairs",
            "Starting model \u2192 tuned model: right pairs over all written texts.",
            base,
            tuned,
        ),
        _tile(
            "AUROC of S(I²C)",
            "Chance that a right text scores above one that is not; 0.5 is guessing.",
            auroc,
        ),
        _tile("Pairs in the data set", _kinds(nested(data, "kinds")), data.get("pairs")),
        _tile("Truth rate of the data set", f"Right pairs over all pairs kept.{against}", data.get("truth_rate")),
    ]
    return element("div", *tiles, class_="tiles")


def _kinds(kinds: Mapping[str, Any]) -> str:
    listed = ", ".join(f"{kind} {number(count, 0)}" for kind, count in kinds.items())
    return f"Written pairs that were kept: {listed}." if listed else "Written pairs that were kept."


def _tile(name: str, meaning: str, *values: object) -> str:
    shown = " \u2192 ".join(
        element("span", number(value) if finite(value) is not None else MISSING, data_value=exact(value))
        for value in values
    )
    return element(
        "div",
        element("h3", esc(name)),
        element("p", shown, class_="value"),
        element("p", esc(meaning, 600), class_="meaning"),
        class_="tile",
    )
