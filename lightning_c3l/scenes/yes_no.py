"""Yes/no questions in the manner of POPE: is a shape there that is not, drawn evenly, by frequency, or by the prior?"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.scenes.language import Query, ask
from lightning_c3l.scenes.shown import ASKED_OF_EACH, Shown
from lightning_c3l.scenes.world import SHAPES

SPLITS = ("random", "popular", "adversarial")


def yes_no_rows(shown: Sequence[Shown], split: str) -> list[dict[str, Any]]:
    """The rows of one split's file: of each image two shapes that are there and two that are not, in turn.

    Those that are there are the same in every split, and a shape is asked for in the same words in all of them.

    Args:
        shown: the images.
        split: `random` draws absent shapes evenly; `popular` takes those that are there most often in the set;
            `adversarial` draws among those that the prior says are usually there.
    """
    absent = _choosers(shown)[split]
    rows = list[dict[str, Any]]()
    for one in shown:
        there = stream("there", one.key).sample(sorted(one.scene.things), ASKED_OF_EACH)
        for yes, no in zip(there, absent(one), strict=True):
            for shape, label in ((yes, "yes"), (no, "no")):
                text = ask(Query("presence", shape), stream("words", one.key, shape))
                rows.append({"question_id": len(rows) + 1, "image": one.key, "text": text, "label": label})
    return rows


def _choosers(shown: Sequence[Shown]) -> dict[str, Callable[[Shown], list[str]]]:
    """For each split, which absent shapes of an image are asked for."""
    frequency = Counter(shape for one in shown for shape in one.scene.things)

    def popular(one: Shown) -> list[str]:
        return sorted(one.absent, key=lambda shape: (-frequency[shape], SHAPES.index(shape)))[:ASKED_OF_EACH]

    return {
        "random": lambda one: stream("random", one.key).sample(one.absent, ASKED_OF_EACH),
        "popular": popular,
        "adversarial": lambda one: stream("adversarial", one.key).sample(one.missed, ASKED_OF_EACH),
    }
