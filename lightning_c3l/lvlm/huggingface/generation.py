"""Batched generation: each prompt runs once, and its completions are sampled side by side behind it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers import Cache

from lightning_c3l.lvlm.base import ConversationError, GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface.attention import PADDING, TokenLayout, attention_mask
from lightning_c3l.lvlm.huggingface.batching import TokenIds, pad, pad_mask
from lightning_c3l.lvlm.huggingface.cache import append_rows, growing_cache
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder, EncodedChat
from lightning_c3l.lvlm.huggingface.forward import Decoder, PromptRows, prompt_rows
from lightning_c3l.lvlm.huggingface.images import ImageTokens
from lightning_c3l.lvlm.huggingface.sampling import sample_tokens, uniforms
from lightning_c3l.records import Turn

# fields of a state that have a row for each prompt
_ROW_TENSORS = ("tokens", "done", "index", "position", "uniform")


@dataclass
class GenerationState:
    """State of B prompts, with N completions each.

    Attributes:
        indices: of the requests that the rows belong to.
        cache: keys and values of all tokens so far.
        keys: their layout.
        tokens: last token of each completion, [B, N].
        done: whether a completion has ended, [B, N].
        index: of the last token in its text, prompt included, [B, N].
        position: rotary position of the last token, [B, N].
        uniform: random numbers of each completion, one per token, [B, N, T].
        completions: tokens so far.
    """

    indices: list[int]
    cache: Cache
    keys: TokenLayout
    tokens: Tensor
    done: Tensor
    index: Tensor
    position: Tensor
    uniform: Tensor
    completions: list[list[list[int]]]


class Generator:
    """Samples completions; rows that are finished make room for waiting prompts.

    Args:
        decoder: the model.
        encoder: its chat encoder.
        sampling: how completions are sampled.
        ends: tokens that end a completion; without any, all of them have `max_new_tokens`.
        progress: called with the number of completions that have ended since the last call.
        finished: called with the index of a request and the tokens of its completions once all of them have ended.
    """

    def __init__(
        self,
        decoder: Decoder,
        encoder: ChatEncoder,
        sampling: Sampling,
        ends: Collection[int],
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[TokenIds]], object] = lambda _, __: None,
    ) -> None:
        self.decoder, self.encoder, self.sampling = decoder, encoder, sampling
        self.progress, self.finished = progress, finished
        self.ends = torch.tensor(sorted(ends), dtype=torch.long, device=decoder.model.device)
        token = encoder.images.token
        # an image token that was sampled would stand for no image
        forbidden = [token] if token < decoder.text.vocab_size else []
        self.forbidden = torch.tensor(forbidden, dtype=torch.long, device=decoder.model.device)

    @torch.no_grad()
    def generate(self, requests: Sequence[GenerationRequest], batch_size: int) -> list[list[TokenIds]]:
        """Tokens of `sampling.samples` completions for each request, without end tokens.

        Args:
            requests: prompts.
            batch_size: largest number of prompts that run at the same time. New ones are run once half of the rows
                are free.
        """
        out: list[list[TokenIds]] = [[] for _ in requests]
        waiting, state = list(enumerate(requests)), None
        while waiting or state is not None:
            free = batch_size - (0 if state is None else len(state.indices))
            if waiting and (state is None or 2 * free >= batch_size):
                taken, waiting = waiting[:free], waiting[free:]
                started = self._prefill(taken)
                state = started if state is None else _concatenate(state, started)
            elif state is not None:
                self._step(state)
            if state is not None:
                state = self._pop_finished(state, out)
        return out

    def _prefill(self, taken: Sequence[tuple[int, GenerationRequest]]) -> GenerationState:
        """Run the prompts and sample the first token of each completion."""
        indices, requests = [index for index, _ in taken], [request for _, request in taken]
        device, n = self.decoder.model.device, self.sampling.samples
        prompts, lengths = self._encode(requests)
        cache = growing_cache()
        hidden, following = self.decoder.run_rows(prompts, cache)
        length = torch.tensor(lengths, device=device)
        last = hidden[torch.arange(len(requests), device=device), length - 1]
        logits = self.decoder.logits(last).repeat_interleave(n, 0)
        state = GenerationState(
            indices=indices,
            cache=cache,
            keys=self.decoder.layout(prompts),
            tokens=torch.zeros(len(requests), n, dtype=torch.long, device=device),
            done=torch.zeros(len(requests), n, dtype=torch.bool, device=device),
            # of the last prompt token: `_append` adds one
            index=(length - 1)[:, None].repeat(1, n),
            position=(following - 1)[:, None].repeat(1, n),
            uniform=torch.stack([uniforms(one.seed, self.sampling) for one in requests]).to(device),
            completions=[[[] for _ in range(n)] for _ in requests],
        )
        self._append(state, logits)
        return state

    def _encode(self, requests: Sequence[GenerationRequest]) -> tuple[PromptRows, list[int]]:
        """The prompts with their image features, and their lengths in tokens."""
        images = [one.image for one in requests if one.image is not None]
        encoded = self.encoder.images.encode_features(self.decoder.model, images)
        waiting, chats = iter(encoded), list[EncodedChat]()
        for one in requests:
            tokens = None if one.image is None else next(waiting).tokens
            chats.append(open_chat(self.encoder, one.prompt, one.answer_prefix, tokens))
        lengths = [len(chat.ids) for chat in chats]
        limit, more = self.encoder.context, self.sampling.max_new_tokens
        if limit is not None and max(lengths) + more > limit:
            raise ConversationError(
                f"{self.encoder.name}: a prompt of {max(lengths)} tokens and max_new_tokens of {more} are longer than "
                f"the model's context of {limit}"
            )
        device = self.decoder.model.device
        ids, mask = pad([chat.ids for chat in chats]).to(device), pad_mask(lengths).to(device)
        return prompt_rows(ids, mask, encoded), lengths

    def _step(self, state: GenerationState) -> None:
        """One more token for each completion that has not ended."""
        n = self.sampling.samples
        suffix = torch.arange(1, n + 1, device=state.done.device).expand_as(state.done)
        new = TokenLayout(state.index, suffix.masked_fill(state.done, PADDING), torch.zeros_like(suffix))
        state.keys = state.keys.followed_by(new)
        position = state.position
        if self.decoder.axes > 1:
            position = position.expand(self.decoder.axes, *position.shape)
        mask = attention_mask(self.decoder.decoder, new, state.keys)
        hidden = self.decoder.run(state.tokens, position, mask, None, state.cache)
        self._append(state, self.decoder.logits(hidden[~state.done]))

    def _append(self, state: GenerationState, logits: Tensor) -> None:
        """Sample a token for each of A active completions from its logits [A, V], and note which completions end."""
        active = ~state.done
        counts = torch.tensor([[len(one) for one in row] for row in state.completions], device=active.device)
        uniform = state.uniform.gather(2, counts.clamp_max(state.uniform.shape[2] - 1)[..., None])[..., 0][active]
        tokens = sample_tokens(logits.index_fill(-1, self.forbidden, -torch.inf), uniform, self.sampling)
        # completions that have ended feed an ordinary token, which no other token attends to
        state.tokens = torch.zeros_like(state.tokens).masked_scatter(active, tokens)
        state.index, state.position = state.index + 1, state.position + 1
        ended = torch.isin(tokens, self.ends)
        full = counts[active] + 1 >= self.sampling.max_new_tokens
        for (row, sample), token, end in zip(active.nonzero().tolist(), tokens.tolist(), ended.tolist(), strict=True):
            if not end:
                state.completions[row][sample].append(token)
        state.done = state.done.masked_scatter(active, ended | full)
        self.progress(int((ended | full).sum()))

    def _pop_finished(self, state: GenerationState, out: list[list[TokenIds]]) -> GenerationState | None:
        """Hand out the completions of finished rows and drop these rows, once half of all rows are finished."""
        finished = state.done.all(1)
        rows = int(finished.sum())
        if rows < len(state.indices) and 2 * rows < len(state.indices):
            return state
        for row in finished.nonzero()[:, 0].tolist():
            index, completions = state.indices[row], [tuple(one) for one in state.completions[row]]
            out[index] = completions
            self.finished(index, completions)
        if rows == len(state.indices):
            return None
        kept = (~finished).nonzero()[:, 0]
        state.cache.batch_select_indices(kept)
        return replace(
            state,
            indices=[state.indices[row] for row in kept.tolist()],
            keys=TokenLayout(state.keys.index[kept], state.keys.suffix[kept], state.keys.image[kept]),
            completions=[state.completions[row] for row in kept.tolist()],
            **{name: getattr(state, name)[kept] for name in _ROW_TENSORS},
        )


def _concatenate(state: GenerationState, new: GenerationState) -> GenerationState:
    """The rows of both states; the layouts of shorter rows are padded at the end."""
    append_rows(state.cache, new.cache)
    length = max(state.keys.index.shape[1], new.keys.index.shape[1])
    layouts = dict[str, Tensor]()
    for name, fill in (("index", 0), ("suffix", PADDING), ("image", 0)):
        parts = [getattr(one.keys, name) for one in (state, new)]
        layouts[name] = torch.cat([nn.functional.pad(part, (0, length - part.shape[1]), value=fill) for part in parts])
    return replace(
        state,
        indices=state.indices + new.indices,
        keys=TokenLayout(**layouts),
        completions=state.completions + new.completions,
        **{name: torch.cat([getattr(state, name), getattr(new, name)]) for name in _ROW_TENSORS},
    )


def open_chat(encoder: ChatEncoder, prompt: str, answer_prefix: str, image: ImageTokens | None) -> EncodedChat:
    """A chat whose last tokens are the beginning of the assistant's turn, or a prefix of its answer."""
    if answer_prefix:
        chat = encoder.encode((Turn("user", prompt), Turn("assistant", answer_prefix)), image)
        if any(chat.answer):
            # without the end of the turn
            n = len(chat.answer) - chat.answer[::-1].index(True)
            return replace(chat, ids=chat.ids[:n], answer=chat.answer[:n], target=chat.target[:n])
    return encoder.encode((Turn("user", prompt),), image)
