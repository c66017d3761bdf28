"""Figures of a trained model as sums over images, from which a bootstrap computes them again."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.records import Candidate
from lightning_c3l.rounds.truth import Asked, Truth, right_share, statement_share
from lightning_c3l.selection.texts import polarity

# figures of the tables, and their titles
TITLES: Mapping[str, str] = {
    "truth": "truth of statements",
    "statements": "statements a text",
    "own_unseen": "own beginnings, unseen",
    "own_seen": "own beginnings, seen",
    "reference": "reference beginnings",
    "reference_unseen": "reference beginnings, unseen",
    "qa": "QA accuracy",
    "kind_entropy": "kind entropy",
    "distinct": "distinct",
    "yes": "yes among yes/no",
    "parsed": "parsed",
}
# kind of a question that has no answer
OTHER = "other"
# summands of each figure by image
Sums = dict[str, dict[str, list[float]]]
T = TypeVar("T")


@dataclass(frozen=True)
class Answered:
    """A question and a model's answer."""

    asked: Asked
    text: str


def writing_sums(written: Sequence[Candidate], truth: Truth, kinds: Sequence[str]) -> Sums:
    """Sums of what a model has written.

    An answer that follows the model's own question is what follows its own beginning: `own_seen` and `own_unseen` count
    those whose question has an answer, by whether training images show what it names.

    Args:
        written: all texts.
        truth: of their images.
        kinds: of questions.

    Returns:
        By figure and image: sum and count of shares, and for `kind_entropy` how many questions are of each kind and how
        many have no answer.
    """

    def of_image(image: str, own: Sequence[Candidate]) -> dict[str, list[float]]:
        parsed = [one for one in own if not one.rejected]
        stated = [truth.statements(image, one.question, one.answer) for one in parsed]
        shares = [right_share(statements) for statements in stated]
        right = [truth.judge(image, one.question, one.answer) == "right" for one in parsed]
        resolved = [truth.resolve(image, one.question) for one in parsed]
        signs = [polarity([one.answer]) for one in parsed]
        asked = [OTHER if one is None else one.kind for one in resolved]
        return {
            "truth": [sum(shares), len(own)],
            # fewer of them are easier to get right
            "statements": [sum(map(len, stated)), len(own)],
            "right": [sum(right), len(own)],
            "parsed": [len(parsed), len(own)],
            "distinct": [len({one.question for one in parsed}), len(parsed)],
            "yes": [signs.count(1), len(signs) - signs.count(0)],
            "kind_entropy": [asked.count(name) for name in (*kinds, OTHER)],
            **_by_seen("own", [(one, share) for one, share in zip(resolved, shares, strict=True) if one is not None]),
        }

    return _by_image(written, lambda one: one.image, of_image)


def answering_sums(answers: Sequence[Answered], truth: Truth) -> Sums:
    """Sums of the right statements of plain answers: `qa` of all questions, and `qa_<kind>` of each kind."""

    def of_image(_: str, own: Sequence[Answered]) -> dict[str, list[float]]:
        found = [(one.asked.kind, _share_of(one, truth)) for one in own]
        kinds = dict.fromkeys(kind for kind, _ in found)
        return {
            "qa": _mean_parts(share for _, share in found),
            **{f"qa_{name}": _mean_parts(share for kind, share in found if kind == name) for name in kinds},
        }

    return _by_image(answers, lambda one: one.asked.image, of_image)


def reference_sums(continued: Sequence[Answered], truth: Truth) -> Sums:
    """Sums of answers that follow beginnings made from the truth."""

    def of_image(_: str, own: Sequence[Answered]) -> dict[str, list[float]]:
        found = [(one.asked, _share_of(one, truth)) for one in own]
        return {"reference": _mean_parts(share for _, share in found), **_by_seen("reference", found)}

    return _by_image(continued, lambda one: one.asked.image, of_image)


def _share_of(answered: Answered, truth: Truth) -> float:
    """Share of right statements."""
    asked = answered.asked
    return statement_share(truth, asked.image, asked.question, answered.text.strip())


def _by_image(
    texts: Iterable[T], image_of: Callable[[T], str], sums_of: Callable[[str, Sequence[T]], dict[str, list[float]]]
) -> Sums:
    by_image = defaultdict[str, list[T]](list)
    for one in texts:
        by_image[image_of(one)].append(one)
    sums: Sums = {}
    for image, own in by_image.items():
        for name, values in sums_of(image, own).items():
            sums.setdefault(name, {})[image] = [float(value) for value in values]
    return sums


def _by_seen(name: str, found: Sequence[tuple[Asked, float]]) -> dict[str, list[float]]:
    return {
        f"{name}_{part}": _mean_parts(share for asked, share in found if asked.seen is wanted)
        for part, wanted in (("seen", True), ("unseen", False))
    }


def _mean_parts(values: Iterable[float]) -> list[float]:
    """Sum and number of values."""
    own = list(values)
    return [sum(own), len(own)]


def counts_of(sums: Mapping[str, Sequence[float]], images: Sequence[str]) -> NDArray[np.float64]:
    """Summands of a figure, `[I, 1, K]`; an image that adds nothing has zeros."""
    width = max((len(values) for values in sums.values()), default=2)
    rows = [list(sums.get(image, [0.0] * width)) for image in images]
    return np.array(rows, dtype=np.float64).reshape(len(images), 1, width)


def figure_of(name: str) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """A figure from its totals, `[..., 1, K]` to `[...]`; nan where nothing was counted."""
    return _entropy if name == "kind_entropy" else _share


def _share(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore"):
        return np.asarray(totals[..., 0, 0] / totals[..., 0, 1])


def _entropy(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy of the shares of kinds, in nats."""
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = totals[..., 0, :] / totals[..., 0, :].sum(-1, keepdims=True)
        return np.asarray(-np.where(shares > 0, shares * np.log(shares), 0.0 * shares).sum(-1))
