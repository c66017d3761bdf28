"""Texts that held no usable pair, by reason."""

from collections.abc import Mapping, Sequence
from typing import Any

from lightning_c3l.records import ScoredCandidate
from lightning_c3l.report.figures import nested, rounds_of
from lightning_c3l.report.markup import element, esc, finite
from lightning_c3l.report.tables import cell, table

EXAMPLES = 5
TEXT_LIMIT = 500


def rejected_counts(
    summary: Mapping[str, Any], candidates_by_round: Mapping[int, Sequence[ScoredCandidate]]
) -> dict[Any, Mapping[str, Any]]:
    """Counts by round and reason: the summary's where it has them, else counted from the texts."""
    counts: dict[Any, Mapping[str, Any]] = {}
    for number, candidates in sorted(candidates_by_round.items()):
        reasons = [one.candidate.rejected for one in candidates if one.candidate.rejected]
        counts[number] = {reason: reasons.count(reason) for reason in dict.fromkeys(reasons)}
    told = {one["round"]: nested(one, "rejected") for one in rounds_of(summary) if "rejected" in one}
    return {**counts, **told}


def rejected_texts(candidates_by_round: Mapping[int, Sequence[ScoredCandidate]]) -> dict[str, list[str]]:
    """Up to five different texts for each reason, the latest round first."""
    texts: dict[str, list[str]] = {}
    for _, candidates in sorted(candidates_by_round.items(), reverse=True):
        for one in candidates:
            known = texts.setdefault(one.candidate.rejected, []) if one.candidate.rejected else None
            if known is not None and len(known) < EXAMPLES and one.candidate.text not in known:
                known.append(one.candidate.text)
    return texts


def rejected_html(summary: Mapping[str, Any], candidates_by_round: Mapping[int, Sequence[ScoredCandidate]]) -> str:
    """A table of counts and a fold with examples for each reason; empty where nothing was rejected."""
    counts, texts = rejected_counts(summary, candidates_by_round), rejected_texts(candidates_by_round)
    reasons = list(dict.fromkeys([*(reason for by in counts.values() for reason in by), *texts]))
    if not reasons:
        return element("p", "No text was rejected.", class_="empty") if counts else ""
    totals = {reason: sum(finite(by.get(reason)) or 0.0 for by in counts.values()) for reason in reasons}
    reasons.sort(key=lambda reason: -totals[reason])
    rows = [(esc(reason, 80), [cell(by.get(reason, 0), 0) for by in counts.values()]) for reason in reasons]
    written = table("Rejected texts by reason", ["reason", *(f"round {one}" for one in counts)], rows)
    return written + "".join(_examples(reason, texts[reason]) for reason in reasons if reason in texts)


def _examples(reason: str, texts: Sequence[str]) -> str:
    quoted = "".join(element("li", element("pre", esc(text, TEXT_LIMIT), dir="auto")) for text in texts)
    return element("details", element("summary", f"Examples: {esc(reason, 80)}"), element("ul", quoted))
