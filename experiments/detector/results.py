"""How well each score tells right from wrong, with bootstrap intervals over the images."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.detector.items import CONSISTENT, LEVELS, LOGP, Floats, Items
from experiments.detector.ranked import Ranking, best_of_groups, interval, resamples, share
from lightning_c3l.functional.ranking import rank_correlation
from lightning_c3l.report.text import number
from lightning_c3l.selection.markdown import markdown_table

KEPT = (0.1, 0.25, 0.5)
SAMPLES = 200
# scores of the tables by kind, length and strength of the prior
SLICED = ("answer", "gap", "gap, lowest quarter", LOGP, "mean log q, negative", CONSISTENT)
# first number of tokens of each bin of lengths
_LENGTHS = (1, 3, 9, 21)
# a slice with fewer right or wrong items is left out
_LEAST = 10
Mask = NDArray[np.bool_]
# caption, names of the columns, and cells of each row
TextTable = tuple[str, list[str], list[list[str]]]


def compute_results(levels: Mapping[str, Items], samples: int = SAMPLES) -> dict[str, Any]:
    """All figures, as results.json holds them.

    Args:
        levels: items of each level, at least one of each.
        samples: resamples of the intervals.
    """
    return {
        "levels": {name: _level(levels[name], samples) for name in LEVELS},
        "dropping": _dropping(levels["sentences"], samples),
    }


def _level(items: Items, samples: int) -> dict[str, Any]:
    weights = resamples(items.images, samples)
    kinds = [np.flatnonzero(np.array(items.kinds) == kind) for kind in dict.fromkeys(items.kinds)]

    def within_kinds(column: Floats) -> Floats:
        parts = [Ranking(column[own], items.right[own]).pairs(weights[:, own]) for own in kinds]
        return share(np.sum(parts, axis=0))

    confidence = within_kinds(items.scores[LOGP])
    scores = dict[str, Any]()
    for name, column in items.scores.items():
        ranking, within = Ranking(column, items.right), within_kinds(column)
        scores[name] = {
            "auroc": asdict(interval(ranking.auroc(weights))),
            "within_kinds": asdict(interval(within)),
            "above_log_p": asdict(interval(within - confidence)),
            "precision": {str(kept): asdict(interval(ranking.precision(weights, kept))) for kept in KEPT},
            "rank_correlation": rank_correlation(column.tolist(), items.share.tolist()),
            "best_of_group": _best_of_group(items, column, weights),
        }
    return {
        "count": len(items.right),
        "images": len(set(items.images)),
        "right": float(items.right.mean()),
        "scores": scores,
        "slices": {
            title: {
                name: _slice(items, own, weights)
                for name, own in masks
                if _LEAST <= items.right[own].sum() <= own.sum() - _LEAST
            }
            for title, masks in _slices(items)
        },
    }


def _best_of_group(items: Items, column: Floats, weights: Floats) -> dict[str, Any]:
    """Share of right items, and of right statements, among the best of each image and kind."""
    names = np.array([f"{image}/{kind}" for image, kind in zip(items.images, items.kinds, strict=True)])
    _, first, groups = np.unique(names, return_index=True, return_inverse=True)
    own, values = weights[:, first], {"right": items.right.astype(np.float64), "statements": items.share}
    found = {name: best_of_groups(column, value, groups) for name, value in values.items()}
    return {name: asdict(interval(own @ best / own.sum(axis=1))) for name, best in found.items()}


def _slices(items: Items) -> Iterator[tuple[str, list[tuple[str, Mask]]]]:
    kinds = np.array(items.kinds)
    yield "kind", [(str(kind), kinds == kind) for kind in dict.fromkeys(items.kinds)]
    ends = [*(start - 1 for start in _LENGTHS[1:]), None]
    bins = [(f"{a} to {b}" if b else f"{a} or more", a, b) for a, b in zip(_LENGTHS, ends, strict=True)]
    yield "tokens", [(name, (items.tokens >= a) & (items.tokens <= (b or np.inf))) for name, a, b in bins]
    strengths = sorted(set(items.strength[np.isfinite(items.strength)].tolist()))
    yield "strength of the prior", [(f"{one:g}", items.strength == one) for one in strengths]


def _slice(items: Items, own: Mask, weights: Floats) -> dict[str, Any]:
    right, scores = items.right[own], [score for score in SLICED if score in items.scores]
    aurocs = {score: Ranking(items.scores[score][own], right).auroc(weights[:, own]) for score in scores}
    return {
        "count": int(own.sum()),
        "right": float(right.mean()),
        "auroc": {score: asdict(interval(values)) for score, values in aurocs.items()},
    }


def _dropping(sentences: Items, samples: int) -> dict[str, Any]:
    """What leaving out sentences does to the answers: those below 0, or as many with the lowest mean log p.

    Returns:
        For each rule the share of sentences dropped, of answers that are left, of these that are wholly right, of the
        sentences left that are right, and the mean length of the answers left, in tokens.
    """
    everything = np.ones_like(sentences.right)
    rules = {"none": everything, **{f"{name} below 0": sentences.scores[name] >= 0 for name in ("answer", "gap")}}
    confident = np.argsort(-sentences.scores[LOGP], kind="stable")
    for name in ("answer", "gap"):
        kept = np.zeros_like(sentences.right)
        kept[confident[: int(rules[f"{name} below 0"].sum())]] = True
        rules[f"as many as {name}, by mean log p"] = kept
    weights = resamples(sentences.images, samples)
    return {name: _after(sentences, kept, weights) for name, kept in rules.items()}


def _after(sentences: Items, kept: Mask, weights: Floats) -> dict[str, Any]:
    _, first, own = np.unique(sentences.candidates, return_index=True, return_inverse=True)
    left = np.bincount(own, kept) > 0
    # an answer is right if none of the sentences kept is wrong
    right = left & (np.bincount(own, kept & ~sentences.right) == 0)
    of_answers = weights[:, first]
    return {
        "dropped": float(1 - kept.mean()),
        "answers_left": float(left.mean()),
        "right_answers": asdict(interval(share(np.stack([of_answers @ right, of_answers @ left])))),
        "right_sentences": asdict(interval(share(np.stack([weights @ (kept & sentences.right), weights @ kept])))),
        "tokens": float(sentences.tokens[kept].sum() / max(int(left.sum()), 1)),
    }


def _text(found: Mapping[str, float]) -> str:
    """A figure with its interval."""
    if not np.isfinite(found["value"]):
        return "-"
    return f"{number(found['value'], 3)} ({number(found['low'], 3)} to {number(found['high'], 3)})"


def tables(results: Mapping[str, Any]) -> list[TextTable]:
    """All tables of the results of `compute_results`."""
    out = list[TextTable]()
    for level, found in results["levels"].items():
        head = ["score", "AUROC", "AUROC within kinds", "less mean log p"]
        head += [f"precision, best {kept:.0%}" for kept in KEPT]
        rows = [
            [
                name,
                *(_text(one[key]) for key in ("auroc", "within_kinds", "above_log_p")),
                *map(_text, one["precision"].values()),
            ]
            for name, one in found["scores"].items()
        ]
        if level == "answers":
            head += ["best of its group right", "its statements right", "correlation with right share"]
            for row, one in zip(rows, found["scores"].values(), strict=True):
                row += [*map(_text, one["best_of_group"].values()), number(one["rank_correlation"], 3)]
        caption = f"{level}: {found['count']:,} about {found['images']} images, {found['right']:.3f} of them right"
        out.append((caption, head, rows))
        for title, slices in found["slices"].items():
            cells = [
                [name, f"{one['count']:,}", number(one["right"], 3), *map(_text, one["auroc"].values())]
                for name, one in slices.items()
            ]
            if len(cells) > 1:
                scores = next(iter(slices.values()))["auroc"]
                out.append((f"AUROC of {level} by {title}", [title, level, "right", *scores], cells))
    out.append(_dropping_table(results["dropping"]))
    return out


def _dropping_table(found: Mapping[str, Any]) -> TextTable:
    head = ["sentences left out", "share", "answers left", "right sentences", "wholly right answers", "tokens"]
    rows = [
        [
            name,
            number(one["dropped"], 3),
            number(one["answers_left"], 3),
            _text(one["right_sentences"]),
            _text(one["right_answers"]),
            number(one["tokens"], 1),
        ]
        for name, one in found.items()
    ]
    return "Answers without the sentences that the image does not support", head, rows


def markdown(found: Sequence[TextTable]) -> str:
    """The tables as Markdown."""
    parts = [
        f"## {caption}\n\n" + markdown_table(head, rows, "l" + "r" * (len(head) - 1)) for caption, head, rows in found
    ]
    return "\n\n".join(parts) + "\n"
