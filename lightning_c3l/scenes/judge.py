"""A judge of open answers about the embedded worlds that knows the truth, in place of a large language model."""

from collections.abc import Sequence
from typing import Any

from lightning_c3l.evaluation.judging.base import (
    CANDIDATE_FIRST,
    ORDERS,
    REFERENCE_FIRST,
    AnswerPair,
    JudgeError,
    Review,
)
from lightning_c3l.scenes.worlds import WORLDS, World


class SceneJudge:
    """Rates an answer by its share of true statements: 1 + 9 x share, to one decimal.

    It reads the description of the image, as any judge does, and knows what each statement of its world means; see
    `World.truthfulness`. Both answers are rated independently, so their order changes nothing.
    """

    name = "scenes rule judge"

    def review(self, pairs: Sequence[AnswerPair], both_orders: bool = False) -> list[Review]:
        """Review each pair; with `both_orders` twice in a row.

        Args:
            pairs: a reference and a candidate answer each.
            both_orders: also review each pair with the candidate first.

        Returns:
            The reviews, in the order of the pairs.

        Raises:
            JudgeError: the context of a pair is no description of one of these worlds.
        """
        reviews = list[Review]()
        for pair in pairs:
            found = _described(pair.context)
            if found is None:
                raise JudgeError(f"question {pair.id}: {self.name} only knows images of the embedded worlds")
            world, scene = found
            shares = [world.truthfulness(scene, pair.question, answer) for answer in (pair.reference, pair.candidate)]
            reference, candidate = (round(1 + 9 * share, 1) for share in shares)
            explanation = (
                f"Of what the reference answer states or should state {shares[0]:.0%} is right, "
                f"of the candidate's {shares[1]:.0%}."
            )
            for order in ORDERS if both_orders else (REFERENCE_FIRST,):
                first, second = (candidate, reference) if order == CANDIDATE_FIRST else (reference, candidate)
                reply = f"{first:g} {second:g}\n{explanation}"
                reviews.append(Review(pair.id, pair.kind, reference, candidate, reply, self.name, order))
        return reviews


def _described(context: str) -> tuple[World, Any] | None:
    """The world and the scene of a description; no text describes scenes of two worlds."""
    for world in WORLDS.values():
        scene = world.described(context)
        if scene is not None:
            return world, scene
    return None
