"""Teacher-forced token statistics of answers, with their image, without it, and with another one."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from lightning_c3l.functional.i2c import log_kl
from lightning_c3l.lvlm.base import AnswerTokens, Chats, Images
from lightning_c3l.lvlm.batches import TokenRows
from lightning_c3l.lvlm.huggingface.batching import pad_mask
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.forward import Decoder, prompt_rows
from lightning_c3l.lvlm.huggingface.groups import RowList, split_prefixes
from lightning_c3l.lvlm.huggingface.images import EncodedImage
from lightning_c3l.lvlm.huggingface.packing import chosen_logp, predicting_states

# logits held at once, for each of the two distributions: 16 MB in float32, and no fewer than 16 positions
_LOGITS = 1 << 22
# prefixes without image are shared if that saves this share of the remaining tokens
_WORTH_SHARING = 0.15


@torch.no_grad()
def score_answers(
    decoder: Decoder,
    encoder: ChatEncoder,
    images: Sequence[Images],
    chats: Sequence[Chats],
    shuffled: Sequence[Images] | None = None,
) -> AnswerTokens:
    """Statistics of every answer of every conversation; see `AnswerScorer.score`."""
    with_image, tokens, lengths = _states(decoder, encoder, chats, _encode(decoder, encoder, images))
    without_image, _, _ = _states(decoder, encoder, chats, None)
    parts = list[tuple[Tensor, Tensor, Tensor]]()
    for p_states, q_states, ids in _blocks(decoder, with_image, without_image, tokens):
        p, q = (decoder.logits(states).log_softmax(-1) for states in (p_states, q_states))
        parts.append((p.gather(1, ids[:, None])[:, 0], q.gather(1, ids[:, None])[:, 0], log_kl(p, q)))
    mask = pad_mask(lengths).to(tokens.device)
    logp_image, logp_blind, kl = (_scatter(mask, torch.cat(column)) for column in zip(*parts, strict=True))
    logp_shuffled = None
    if shuffled is not None:
        states, _, _ = _states(decoder, encoder, chats, _encode(decoder, encoder, shuffled))
        logp_shuffled = _scatter(mask, _log_probabilities(decoder, states, tokens))
    return AnswerTokens(logp_image, logp_blind, kl, mask, logp_shuffled)


@torch.no_grad()
def mean_nll(
    decoder: Decoder, encoder: ChatEncoder, images: Sequence[Images], chats: Sequence[Chats]
) -> list[list[float]]:
    """Mean over all assistant turns of each conversation; see `AnswerScorer.mean_nll`."""
    # a batch without any image may share prefixes in another way
    encoded = _encode(decoder, encoder, images) if any(map(len, images)) else None
    states, tokens, lengths = _states(decoder, encoder, chats, encoded)
    mask = pad_mask(lengths).to(tokens.device)
    logp = _scatter(mask, _log_probabilities(decoder, states, tokens))
    turns = iter(zip(logp.cpu().double().sum(1).tolist(), lengths, strict=True))
    out = list[list[float]]()
    for own in chats:
        means = list[float]()
        for chat in own:
            answers = [next(turns) for turn in chat if turn.role == "assistant"]
            count = sum(length for _, length in answers)
            means.append(-sum(total for total, _ in answers) / count if count else math.nan)
        out.append(means)
    return out


def _encode(decoder: Decoder, encoder: ChatEncoder, images: Sequence[Images]) -> list[list[EncodedImage]]:
    """The images of each context after the vision tower."""
    for own in images:
        encoder.images.require_independent(own)
    encoded = iter(encoder.images.encode_features(decoder.model, [image for own in images for image in own]))
    return [[next(encoded) for _ in own] for own in images]


def _states(
    decoder: Decoder, encoder: ChatEncoder, chats: Sequence[Chats], images: Sequence[Sequence[EncodedImage]] | None
) -> tuple[Tensor, Tensor, list[int]]:
    """Hidden states [M, H] that predict the M answer tokens, these tokens [M], and the length of each answer."""
    whole = RowList()
    for owner, own in enumerate(chats):
        tokens = None if images is None else [one.tokens for one in images[owner]]
        for k, chat in enumerate(own):
            whole.add(encoder.encode(chat, tokens), owner, k)
    lengths = [length for chat in whole.chats for length in chat.answer_lengths]
    can_share = len(whole.chats) > len(chats) and _share_images(encoder, whole)
    shared = _run_shared(decoder, encoder, whole, images) if can_share else None
    if shared is not None:
        rows, hidden = shared
    else:
        rows = whole.tensors([0] * len(whole.chats)).to(decoder.model.device)
        features = [] if images is None else [one for owner in whole.owner for one in images[owner]]
        hidden, _ = decoder.run_rows(prompt_rows(rows.ids, rows.mask, features))
    return predicting_states(hidden, rows.text), rows.ids[rows.text], lengths


def _share_images(encoder: ChatEncoder, rows: RowList) -> bool:
    """Whether the rows of each context are equal up to its last image, with no answer before that."""
    prefixes = dict[int, tuple[int, ...]]()
    for chat, owner in zip(rows.chats, rows.owner, strict=True):
        stop = max((index + 1 for index, token in enumerate(chat.ids) if token == encoder.images.token), default=0)
        # one token of the prompt stays in the suffix: it predicts the answer
        is_before = True not in chat.answer or stop < chat.answer.index(True)
        if not is_before or prefixes.setdefault(owner, chat.ids[:stop]) != chat.ids[:stop]:
            return False
    return True


def _run_shared(
    decoder: Decoder, encoder: ChatEncoder, rows: RowList, images: Sequence[Sequence[EncodedImage]] | None
) -> tuple[TokenRows, Tensor] | None:
    """Suffixes behind their common prefixes, and their hidden states; None if sharing does not pay."""
    device = decoder.model.device
    ids, mask, suffixes = split_prefixes(encoder, rows, max(rows.owner) + 1)
    ids, mask, suffixes = ids.to(device), mask.to(device), suffixes.to(device)
    if images is None:
        # the saved tokens have to make up for attention over all suffixes
        saved = mask.sum(1)[suffixes.owner].sum() - mask.sum()
        if not bool(saved > _WORTH_SHARING * suffixes.mask.sum()):
            return None
    prefixes = prompt_rows(ids, mask, [] if images is None else [one for own in images for one in own])
    # without images the prefix is a few sentences: one pass is cheaper than two
    _, hidden = decoder.run_shared(prefixes, suffixes, joined=images is None)
    return suffixes, hidden


def _log_probabilities(decoder: Decoder, states: Tensor, tokens: Tensor) -> Tensor:
    blocks = _blocks(decoder, states, tokens)
    return torch.cat([chosen_logp(decoder.logits(block), ids) for block, ids in blocks])


def _blocks(decoder: Decoder, *columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The columns in blocks of positions, few enough for their logits to be in memory at the same time."""
    size = max(16, _LOGITS // int(decoder.text.vocab_size))
    return zip(*(torch.split(column, size) for column in columns), strict=True)


def _scatter(mask: Tensor, values: Tensor) -> Tensor:
    return torch.zeros(mask.shape, device=mask.device).masked_scatter(mask, values.float())
