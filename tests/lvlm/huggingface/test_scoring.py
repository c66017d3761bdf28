"""Prefix-shared scores against a plain forward of each sequence alone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import AnswerTokens
from lightning_c3l.lvlm.batches import TokenRows
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.fast_path import FastPath
from lightning_c3l.lvlm.huggingface.forward import Decoder, PromptRows
from lightning_c3l.lvlm.huggingface.scoring import _blocks
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.tiny import decoder_of, load_tiny, pictures, plain

PAIRS = [
    [("What color are the rings?", "red"), ("How many circles are there?", "there are three of them, I think")],
    [("Where are the crosses?", "top left")],
    [("Are there any squares?", "no"), ("Are there any squares?", "yes"), ("Q", "A long answer, word by word. 🙂")],
]
FLAT = [(number, question, answer) for number, own in enumerate(PAIRS) for question, answer in own]
TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return pictures(3)


@pytest.fixture(scope="module")
def scored(lvlm: HuggingFaceLVLM, images: list[Image]) -> AnswerTokens:
    return score_pairs(lvlm, images, PAIRS, shuffled=images[1:] + images[:1])


def rows(tokens: AnswerTokens, name: str) -> Iterator[torch.Tensor]:
    """Each row's values, in order, its padding cut off."""
    for values, mask in zip(getattr(tokens, name), tokens.mask, strict=True):
        yield values[mask]


@torch.no_grad()
def test_log_probabilities_are_those_of_plain_forwards(
    lvlm: HuggingFaceLVLM, images: list[Image], scored: AnswerTokens
) -> None:
    for row, (number, question, answer) in enumerate(FLAT):
        seen, blind = plain(lvlm, question, answer, images[number]), plain(lvlm, question, answer, None)
        torch.testing.assert_close(list(rows(scored, "logp_image"))[row], seen.logp(), **TOLERANCE)
        torch.testing.assert_close(list(rows(scored, "logp_blind"))[row], blind.logp(), **TOLERANCE)


@torch.no_grad()
def test_divergence_by_its_definition(lvlm: HuggingFaceLVLM, images: list[Image], scored: AnswerTokens) -> None:
    for row, (number, question, answer) in enumerate(FLAT):
        seen, blind = plain(lvlm, question, answer, images[number]), plain(lvlm, question, answer, None)
        p = seen.logits[seen.start - 1 : seen.end - 1].double().softmax(-1)
        q = blind.logits[blind.start - 1 : blind.end - 1].double().softmax(-1)
        expected = (p * (p / q).log()).sum(-1).float()
        assert float(expected.max()) > 0.01
        torch.testing.assert_close(list(rows(scored, "kl"))[row], expected, **TOLERANCE)


@torch.no_grad()
def test_shuffled_is_the_same_answer_after_the_other_image(
    lvlm: HuggingFaceLVLM, images: list[Image], scored: AnswerTokens
) -> None:
    partners = [images[1], images[2], images[0]]
    for row, (number, question, answer) in enumerate(FLAT):
        other = plain(lvlm, question, answer, partners[number]).logp()
        torch.testing.assert_close(list(rows(scored, "logp_shuffled"))[row], other, **TOLERANCE)
        assert not torch.allclose(other, list(rows(scored, "logp_image"))[row], atol=1e-3)


def test_mask_counts_answer_tokens_without_the_end_of_turn(lvlm: HuggingFaceLVLM, scored: AnswerTokens) -> None:
    # "red" with the blank before it is one token of the corpus; "no" without it falls into letters, as does "yes"
    tokenizer = lvlm.processor.tokenizer
    assert tokenizer.tokenize("ASSISTANT: red")[-1] == "\u0120red"
    assert tokenizer.tokenize("ASSISTANT: no")[-3:] == ["\u0120", "n", "o"]
    counts = scored.mask.sum(1).tolist()
    assert counts[0] == 1
    assert counts[3] == 2
    assert scored.mask.dtype == torch.bool
    for values in (scored.logp_image, scored.logp_blind, scored.kl):
        assert bool((values[~scored.mask] == 0).all())


def test_neighbours_and_padding_change_nothing(
    lvlm: HuggingFaceLVLM, images: list[Image], scored: AnswerTokens
) -> None:
    partners = images[1:] + images[:1]
    row = 0
    for number, own in enumerate(PAIRS):
        for pair in own:
            alone = score_pairs(lvlm, [images[number]], [[pair]], [partners[number]])
            assert alone.logp_image.shape[0] == 1
            for name in ("logp_image", "logp_blind", "kl", "logp_shuffled"):
                torch.testing.assert_close(next(rows(alone, name)), list(rows(scored, name))[row], **TOLERANCE)
            row += 1


def test_order_of_images_is_kept(lvlm: HuggingFaceLVLM, images: list[Image], scored: AnswerTokens) -> None:
    turned = score_pairs(lvlm, images[::-1], PAIRS[::-1])
    order = [number for wanted in (2, 1, 0) for number, (image, _, _) in enumerate(FLAT) if image == wanted]
    expected = [list(rows(scored, "logp_image"))[number] for number in order]
    for one, other in zip(rows(turned, "logp_image"), expected, strict=True):
        torch.testing.assert_close(one, other, **TOLERANCE)
    assert turned.logp_shuffled is None


def test_blocks_of_positions_are_put_together(
    lvlm: HuggingFaceLVLM, images: list[Image], scored: AnswerTokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for the fewest logits, the full vocabulary is held at 16 positions at once and no more."""
    monkeypatch.setattr("lightning_c3l.lvlm.huggingface.scoring._LOGITS", 1)
    sizes, logits = list[int](), Decoder.logits

    def watched(self: Decoder, hidden: Tensor) -> Tensor:
        sizes.append(len(hidden))
        return logits(self, hidden)

    monkeypatch.setattr(Decoder, "logits", watched)
    again = score_pairs(lvlm, images, PAIRS, images[1:] + images[:1])
    count = int(scored.mask.sum())
    assert count > 32
    assert sum(sizes) == 3 * count  # with the image, without, with the other one
    assert max(sizes) == 16
    for name in ("logp_image", "logp_blind", "kl", "logp_shuffled"):
        torch.testing.assert_close(getattr(again, name), getattr(scored, name))


@pytest.mark.parametrize("worth", [-1.0, 1e9], ids=["shared", "whole"])
def test_prompts_without_image_are_shared_or_not(
    lvlm: HuggingFaceLVLM, images: list[Image], scored: AnswerTokens, monkeypatch: pytest.MonkeyPatch, worth: float
) -> None:
    monkeypatch.setattr("lightning_c3l.lvlm.huggingface.fast_path._WORTH_SHARING", worth)
    shared, run_shared = list[bool](), Decoder.run_shared

    def watched(
        self: Decoder, prefixes: PromptRows, suffixes: TokenRows, joined: bool = False
    ) -> tuple[Tensor, Tensor]:
        shared.append(prefixes.features is None)
        return run_shared(self, prefixes, suffixes, joined)

    monkeypatch.setattr(Decoder, "run_shared", watched)
    again = score_pairs(lvlm, images, PAIRS)
    assert any(shared) == (worth < 0)
    for name in ("logp_image", "logp_blind", "kl"):
        torch.testing.assert_close(getattr(again, name), getattr(scored, name), **TOLERANCE)


@pytest.mark.parametrize(("vocabulary", "positions"), [(400, 10485), (32_000, 131), (262_144, 16), (10**7, 16)])
def test_positions_held_at_once(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, vocabulary: int, positions: int
) -> None:
    """2^22 logits, but no fewer than 16 positions."""
    path = FastPath(decoder_of(lvlm), lvlm.encoder)
    monkeypatch.setattr(path.decoder.text, "vocab_size", vocabulary)
    (block,) = next(_blocks(path, torch.zeros(11_000)))
    assert len(block) == positions


def test_one_question_with_many_answers_shares_its_prompt(lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    question = "What color are the rings?"
    answers = ["red", "red and blue", "green"]
    tokens = score_pairs(lvlm, images[:1], [[(question, answer) for answer in answers]])
    for values, answer in zip(rows(tokens, "logp_image"), answers, strict=True):
        torch.testing.assert_close(values, plain(lvlm, question, answer, images[0]).logp().detach(), **TOLERANCE)


def test_an_answer_without_tokens_has_an_empty_mask(lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    tokens = score_pairs(lvlm, images[:1], [[("What?", "</s>"), ("What?", "red")]])
    assert tokens.mask.dtype == torch.bool
    assert tokens.mask.sum(1).tolist() == [0, 1]


def test_scoring_leaves_no_graph(scored: AnswerTokens) -> None:
    assert not scored.logp_image.requires_grad
    assert not scored.kl.requires_grad
