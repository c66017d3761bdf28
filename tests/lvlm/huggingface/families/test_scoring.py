"""Scores of shared prompts against one plain forward a sequence."""

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import AnswerTokens
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.families.native import Native
from tests.helpers.families.samples import CLOSE, PAIRS

FLAT = [(number, question, answer) for number, own in enumerate(PAIRS) for question, answer in own]


@pytest.fixture(scope="session")
def scored(lvlm: HuggingFaceLVLM, images: list[Image]) -> AnswerTokens:
    return score_pairs(lvlm, images[:3], PAIRS, shuffled=images[1:4])


def rows(tokens: AnswerTokens, column: str) -> list[Tensor]:
    """Each row's values without its padding."""
    return [values[mask] for values, mask in zip(getattr(tokens, column), tokens.mask, strict=True)]


@torch.no_grad()
def test_scores_are_those_of_plain_forwards(native: Native, images: list[Image], scored: AnswerTokens) -> None:
    columns = {column: rows(scored, column) for column in ("logp_image", "logp_blind", "kl", "logp_shuffled")}
    for row, (number, question, answer) in enumerate(FLAT):
        seen = native.answer(question, answer, images[number])
        blind = native.answer(question, answer, None)
        other = native.answer(question, answer, images[number + 1])
        p = seen.logits_of().double().log_softmax(-1)
        q = blind.logits_of().double().log_softmax(-1)
        divergence = (p.exp() * (p - q)).sum(-1).float()
        assert float(divergence.max()) > 0.01
        assert not torch.allclose(seen.logp(), other.logp(), atol=1e-3)
        torch.testing.assert_close(columns["logp_image"][row], seen.logp(), **CLOSE)
        torch.testing.assert_close(columns["logp_blind"][row], blind.logp(), **CLOSE)
        torch.testing.assert_close(columns["kl"][row], divergence, **CLOSE)
        torch.testing.assert_close(columns["logp_shuffled"][row], other.logp(), **CLOSE)
