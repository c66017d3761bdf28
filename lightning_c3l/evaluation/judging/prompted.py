"""A judge that is asked in words, whoever replies."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tqdm import tqdm

from lightning_c3l.evaluation.judging.base import ORDERS, REFERENCE_FIRST, JudgeError, Order, Review, ToJudge
from lightning_c3l.evaluation.judging.cache import Replies, key
from lightning_c3l.evaluation.judging.parsing import marks
from lightning_c3l.evaluation.judging.prompt import prompt


class Replying(Protocol):
    """Something that replies to prompts."""

    name: str

    def ask(self, prompts: Mapping[str, str], keep: Callable[[str, str], object]) -> dict[str, str]:
        """Reply to prompts, which go by keys.

        Args:
            prompts: what to say, by key.
            keep: called with a key and its reply as soon as there is one.

        Returns:
            Why there is no reply, by the keys of those without one.

        Raises:
            JudgeError: it is of no use to ask on.
        """


@dataclass(frozen=True)
class _Asked:
    pair: ToJudge
    order: Order
    prompt: str
    key: str


class PromptedJudge:
    """Asks for what is not known yet, and reads the marks.

    Args:
        replying: who is asked.
        cache: folder of its replies; None keeps none.
    """

    def __init__(self, replying: Replying, cache: Path | None) -> None:
        self.name = replying.name
        self._replying, self._cache = replying, cache

    def review(self, pairs: Sequence[ToJudge], both_orders: bool = False) -> list[Review]:
        """A review of each pair, in their order; with `both_orders` two, one after the other.

        Raises:
            JudgeError: some could not be had; those that could are in the cache.
        """
        orders = ORDERS if both_orders else (REFERENCE_FIRST,)
        asked = [self._asked(pair, order) for pair in pairs for order in orders]
        replies = Replies(self._cache)
        try:
            self._ask(asked, replies)
        finally:
            replies.close()
        return [self._review(one, replies.get(one.key) or "") for one in asked]

    def _asked(self, pair: ToJudge, order: Order) -> _Asked:
        said = prompt(pair, order)
        return _Asked(pair, order, said, key(self.name, order, said))

    def _ask(self, asked: Sequence[_Asked], replies: Replies) -> None:
        missing = {one.key: one for one in asked if replies.get(one.key) is None}
        if not missing:
            return
        with tqdm(total=len(missing), desc="judging", unit="reply", delay=1, leave=False) as bar:

            def keep(key: str, reply: str) -> None:
                replies.keep(key, self.name, reply)
                bar.update()

            try:
                problems = self._replying.ask({key: one.prompt for key, one in missing.items()}, keep)
            except JudgeError as error:
                stopped = str(error)
            else:
                stopped = _summary(missing, problems)
        if stopped:
            left = sum(replies.get(key) is None for key in missing)
            kept = "the others are kept, and the same command goes on" if self._cache else "none is kept"
            raise JudgeError(f"{stopped}; {left} of {len(asked)} reviews are missing: {kept}")

    def _review(self, one: _Asked, reply: str) -> Review:
        first, second = marks(reply)
        reference, candidate = (first, second) if one.order == REFERENCE_FIRST else (second, first)
        return Review(one.pair.id, one.pair.kind, reference, candidate, reply, self.name, one.order)


def _summary(missing: Mapping[str, _Asked], problems: Mapping[str, str]) -> str:
    """The first of the problems."""
    return next((f"question {missing[key].pair.id}: {why}" for key, why in problems.items()), "")
