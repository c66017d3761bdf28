"""A judge of open answers about the embedded world that knows the truth, in place of a large language model."""

from collections.abc import Sequence

from lightning_c3l.evaluation.judging.base import (
    CANDIDATE_FIRST,
    ORDERS,
    REFERENCE_FIRST,
    AnswerPair,
    JudgeError,
    Order,
    Review,
)
from lightning_c3l.scenes.statements import scene_described, truthfulness


class SceneJudge:
    """Marks an answer by its share of right statements: 1 + 9 x share, to one decimal.

    It reads the description of the image, as any judge does, and knows what each statement of this world means; see
    `statements.truthfulness`. Both answers are marked alike, so the order in which they are read changes nothing.
    """

    name = "scenes rule judge"

    def review(self, pairs: Sequence[AnswerPair], both_orders: bool = False) -> list[Review]:
        """A review of each pair, in their order; with `both_orders` two, one after the other.

        Raises:
            JudgeError: a description is none of this world.
        """
        orders = ORDERS if both_orders else (REFERENCE_FIRST,)
        return [self._review(pair, order) for pair in pairs for order in orders]

    def _review(self, pair: AnswerPair, order: Order) -> Review:
        scene = scene_described(pair.context)
        if scene is None:
            raise JudgeError(f"question {pair.id}: {self.name} knows the embedded world's images alone")
        shares = [truthfulness(scene, pair.question, answer) for answer in (pair.reference, pair.candidate)]
        reference, candidate = (round(1 + 9 * share, 1) for share in shares)
        first = (candidate, reference) if order == CANDIDATE_FIRST else (reference, candidate)
        reply = (
            f"{first[0]:g} {first[1]:g}\nOf what the reference answer states or should state {shares[0]:.0%} is right, "
            f"of the candidate's {shares[1]:.0%}."
        )
        return Review(pair.id, pair.kind, reference, candidate, reply, self.name, order)
