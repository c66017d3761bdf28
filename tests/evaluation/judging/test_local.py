"""An LVLM in this process as judge."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_c3l.evaluation.judging.base import JudgeError
from lightning_c3l.evaluation.judging.local import LocalResponder
from lightning_c3l.evaluation.judging.prompted import PromptedJudge
from lightning_c3l.lvlm.base import ConversationError, GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.scenes.checkpoint import Sizes, build_checkpoint
from lightning_c3l.scenes.curriculum import corpus
from tests.evaluation.judging.samples import pair, pairs

SIZES = Sizes(
    image=48, patch=16, vision_width=16, vision_layers=1, width=16, layers=1, heads=1, vocabulary=400, context=4096
)


class Marking:
    """Gives 8 to the first answer and 4 to the second.

    Args:
        fits: prompts that its memory takes at once.
        longest: letters that its context takes.
    """

    def __init__(self, fits: int = 100, longest: int = 10_000) -> None:
        self.fits, self.longest = fits, longest
        self.batches: list[int] = []

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int,
        finished: Callable[[int, list[str]], object],
    ) -> None:
        """In batches; each is told as it is finished."""
        assert all(one.image is None for one in requests)
        prompts = [one.prompt for one in requests]
        assert (sampling.samples, sampling.temperature) == (1, 0)
        for start in range(0, len(prompts), batch_size):
            own = prompts[start : start + batch_size]
            self.batches.append(len(own))
            if len(own) > self.fits:
                raise torch.OutOfMemoryError
            if any(len(prompt) > self.longest for prompt in own):
                raise ConversationError("longer than the context")
            for number in range(len(own)):
                finished(start + number, ["8 4\nBecause."])


def judge(lvlm: Any, cache: Path | None = None) -> PromptedJudge:
    return PromptedJudge(LocalResponder(lvlm, "here", max_new_tokens=8), cache)


def test_asks_without_a_picture() -> None:
    reviews = judge(Marking()).review(pairs(20), both_orders=True)
    assert [(one.reference, one.candidate) for one in reviews] == [(8, 4), (4, 8)] * 20
    assert {one.judge for one in reviews} == {"here"}


@pytest.mark.filterwarnings("ignore:out of memory")
def test_goes_on_with_smaller_batches() -> None:
    lvlm = Marking(fits=3)
    assert len(judge(lvlm).review(pairs(5))) == 5
    # 8 and 4 do not fit
    assert lvlm.batches == [5, 4, 2, 2, 1]


def test_one_that_is_too_long_loses_no_other(tmp_path: Path) -> None:
    asked = [*pairs(3), pair(4, "long " * 5000), pair(5)]
    with pytest.raises(JudgeError, match=r"question q4: judge here: longer than the context; 1 of 5 reviews"):
        judge(Marking(), tmp_path).review(asked)
    again = Marking(longest=100_000)
    assert len(judge(again, tmp_path).review(asked)) == 5
    assert again.batches == [1]


def test_with_a_checkpoint(tmp_path: Path) -> None:
    build_checkpoint(tmp_path / "checkpoint", corpus(), SIZES, seed=0)
    lvlm = HuggingFaceLVLM(str(tmp_path / "checkpoint"), lora=None, keep_reference=False)
    first = judge(lvlm, tmp_path / "cache").review(pairs(3), both_orders=True)
    # random weights write no marks
    assert [one.parsed for one in first] == [False] * 6
    assert all(one.text for one in first)
    assert judge(lvlm, None).review(pairs(3), both_orders=True) == first
