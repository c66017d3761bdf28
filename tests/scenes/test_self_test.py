"""The look at whether generating and scoring work, with the model that is shipped."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch

from lightning_c3l.lvlm.base import AnswerTokens, Chats
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.scenes.self_test import self_test
from lightning_c3l.scenes.worlds import WORLDS


def test_the_shipped_model_tells_a_true_answer_from_the_prior() -> None:
    found = self_test(HuggingFaceLVLM("shipped:scenes", lora=None, keep_reference=False), WORLDS["corners"])
    assert not found.problem
    assert found.generated.startswith("Question: ")
    assert found.true_score > 0.5 > 0 > found.false_score
    assert found.tells


class Mistaken:
    """Completes prompts with a pair, and gives each answer the log-probability that the test names for its text."""

    def __init__(self, logp: dict[bool, float]) -> None:
        self.logp, self.asked = logp, list[str]()

    def unsupported_images(self, images: Sequence[Any]) -> list[str]:
        return [""] * len(images)

    def cache_image_features(self) -> Any:
        return nullcontext()

    def generate(self, requests: Sequence[Any], *given: Any, **options: Any) -> list[list[str]]:
        return [["no pair at all"]] * len(requests)

    def score(self, images: Sequence[Any], chats: Sequence[Chats], shuffled: Any = None) -> AnswerTokens:
        answers = [chat[1].text for one in chats for chat in one]
        self.asked += answers
        seen = torch.tensor([[self.logp[index == 0]] for index in range(len(answers))])
        blind = torch.full_like(seen, -1.0)
        return AnswerTokens(seen, blind, torch.zeros_like(seen), torch.ones_like(seen, dtype=torch.bool))


def test_a_model_that_prefers_the_prior_does_not_tell() -> None:
    model: Any = Mistaken({True: -2.0, False: -0.1})
    found = self_test(model, WORLDS["corners"])
    assert found.problem
    assert not found.tells
    true, usual = model.asked
    assert true != usual
    # p (log p - log q) of one token, for the answer that is true and for the other
    assert (round(found.true_score, 4), round(found.false_score, 4)) == (-0.1353, 0.8144)
