"""Batched sampling of texts: each prompt runs once, and its texts are written side by side behind it."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import Cache

from lightning_c3l.lvlm.base import ConversationError, GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface.attention import PADDING, Places, attention_mask
from lightning_c3l.lvlm.huggingface.batching import Row, pad, pad_mask
from lightning_c3l.lvlm.huggingface.cache import append_rows, growing_cache
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder, EncodedChat
from lightning_c3l.lvlm.huggingface.forward import Decoder, Prompts, prompts_of
from lightning_c3l.lvlm.huggingface.images import ImageTokens
from lightning_c3l.lvlm.huggingface.sampling import draw_tokens, uniforms
from lightning_c3l.records import Turn


@dataclass
class TextRows:
    """B prompts that are being written for, N texts each.

    Attributes:
        indices: of the requests that the rows belong to.
        cache: keys and values of everything so far.
        keys: where they stand.
        tokens: the last token of each text, [B, N].
        done: whether a text is finished, [B, N].
        place: number of that token in its text, [B, N].
        position: its rotary position, [B, N].
        uniform: random numbers for each token, [B, N, T].
        texts: tokens written so far.
    """

    indices: list[int]
    cache: Cache
    keys: Places
    tokens: Tensor
    done: Tensor
    place: Tensor
    position: Tensor
    uniform: Tensor
    texts: list[list[list[int]]]


class Generator:
    """Writes texts for prompts; rows whose texts are finished make room for waiting prompts.

    Args:
        decoder: the model.
        encoder: its chat encoder.
        sampling: how texts are drawn.
        ends: tokens that end a text; empty lets every text run to its longest.
        progress: called with the number of texts that have been finished.
        finished: called with a request's number and the tokens of its texts, once all of them are finished.
    """

    def __init__(
        self,
        decoder: Decoder,
        encoder: ChatEncoder,
        sampling: Sampling,
        ends: Collection[int],
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[Row]], object] = lambda _, __: None,
    ) -> None:
        self.decoder, self.encoder, self.sampling = decoder, encoder, sampling
        self.progress, self.finished = progress, finished
        self.ends = torch.tensor(sorted(ends), dtype=torch.long, device=decoder.model.device)
        token = encoder.images.token
        inside = [token] if token < decoder.text.vocab_size else []
        self.image_token = torch.tensor(inside, dtype=torch.long, device=decoder.model.device)

    @torch.no_grad()
    def write(self, requests: Sequence[GenerationRequest], batch_size: int) -> list[list[Row]]:
        """Tokens of `samples` texts for each request, without their ends; at most `batch_size` prompts at once."""
        out: list[list[Row]] = [[] for _ in requests]
        waiting, state = list(enumerate(requests)), None
        while waiting or state is not None:
            free = batch_size - (0 if state is None else len(state.indices))
            if waiting and (state is None or 2 * free >= batch_size):
                taken, waiting = waiting[:free], waiting[free:]
                began = self._begin(taken)
                state = began if state is None else _joined(state, began)
            elif state is not None:
                self._step(state)
            if state is not None:
                state = self._release(state, out)
        return out

    def _begin(self, taken: Sequence[tuple[int, GenerationRequest]]) -> TextRows:
        """Run the prompts and draw each text's first token."""
        indices, requests = [index for index, _ in taken], [request for _, request in taken]
        device, n = self.decoder.model.device, self.sampling.samples
        prompts, lengths = self._prompts(requests)
        cache = growing_cache()
        hidden, following = self.decoder.whole_rows(prompts, cache)
        length = torch.tensor(lengths, device=device)
        last = hidden[torch.arange(len(requests), device=device), length - 1]
        logits = self.decoder.logits(last).repeat_interleave(n, 0)
        state = TextRows(
            indices=indices,
            cache=cache,
            keys=self.decoder.places(prompts),
            tokens=torch.zeros(len(requests), n, dtype=torch.long, device=device),
            done=torch.zeros(len(requests), n, dtype=torch.bool, device=device),
            # one before the first token's, which `_take` moves on to
            place=(length - 1)[:, None].repeat(1, n),
            position=(following - 1)[:, None].repeat(1, n),
            uniform=torch.stack([uniforms(one.seed, self.sampling) for one in requests]).to(device),
            texts=[[[] for _ in range(n)] for _ in requests],
        )
        self._take(state, logits)
        return state

    def _prompts(self, requests: Sequence[GenerationRequest]) -> tuple[Prompts, list[int]]:
        """The requests' prompts with what their images look like, and their lengths."""
        seen = self.encoder.images.see(self.decoder.model, [one.image for one in requests if one.image is not None])
        waiting = iter(seen)
        tokens = [None if one.image is None else next(waiting).tokens for one in requests]
        chats = [
            open_chat(self.encoder, r.prompt, r.answer_prefix, own) for r, own in zip(requests, tokens, strict=True)
        ]
        lengths = [len(chat.ids) for chat in chats]
        self._check(max(lengths))
        device = self.decoder.model.device
        ids, mask = pad([chat.ids for chat in chats]).to(device), pad_mask(lengths).to(device)
        return prompts_of(ids, mask, seen), lengths

    def _check(self, longest: int) -> None:
        limit, more = self.encoder.context, self.sampling.max_new_tokens
        if limit is not None and longest + more > limit:
            raise ConversationError(
                f"{self.encoder.name}: a prompt of {longest} tokens and max_new_tokens of {more} are longer than the "
                f"model's context of {limit}"
            )

    def _step(self, state: TextRows) -> None:
        """One more token for each text that is not finished."""
        n = self.sampling.samples
        branch = torch.arange(1, n + 1, device=state.done.device).expand_as(state.done)
        new = Places(state.place, branch.masked_fill(state.done, PADDING), torch.zeros_like(branch))
        state.keys = state.keys.followed_by(new)
        position = state.position
        if self.decoder.grid_positions:
            position = position.expand(3, *position.shape)
        mask = attention_mask(self.decoder.decoder, new, state.keys)
        hidden = self.decoder.run(self.decoder.embed(state.tokens, None), position, mask, state.cache)
        self._take(state, self.decoder.logits(hidden[~state.done]))

    def _take(self, state: TextRows, logits: Tensor) -> None:
        """Draw a token [A] for each unfinished text from its logits [A, V], and note which texts end."""
        going = ~state.done
        counts = torch.tensor([[len(text) for text in row] for row in state.texts], device=going.device)
        uniform = state.uniform.gather(2, counts.clamp_max(state.uniform.shape[2] - 1)[..., None])[..., 0][going]
        # an image's token in a text would stand for no image
        logits = logits.index_fill(-1, self.image_token, -torch.inf)
        drawn = draw_tokens(logits, uniform, self.sampling)
        # what is finished feeds an ordinary token, which no other sees
        state.tokens = torch.zeros_like(state.tokens).masked_scatter(going, drawn)
        state.place, state.position = state.place + 1, state.position + 1
        ended = torch.isin(drawn, self.ends)
        full = counts[going] + 1 >= self.sampling.max_new_tokens
        spots = going.nonzero().tolist()
        for (row, sample), token, end in zip(spots, drawn.tolist(), ended.tolist(), strict=True):
            if not end:
                state.texts[row][sample].append(token)
        state.done = state.done.masked_scatter(going, ended | full)
        self.progress(int((ended | full).sum()))

    def _release(self, state: TextRows, out: list[list[Row]]) -> TextRows | None:
        """Hand out the texts of finished rows; their places are freed once half of the rows are."""
        finished = state.done.all(1)
        rows = int(finished.sum())
        if rows < len(state.indices) and 2 * rows < len(state.indices):
            return state
        for row in finished.nonzero()[:, 0].tolist():
            number, texts = state.indices[row], [tuple(text) for text in state.texts[row]]
            out[number] = texts
            self.finished(number, texts)
        if rows == len(state.indices):
            return None
        return _kept(state, (~finished).nonzero()[:, 0])


def _kept(state: TextRows, rows: Tensor) -> TextRows:
    state.cache.batch_select_indices(rows)
    keys = Places(state.keys.place[rows], state.keys.branch[rows], state.keys.block[rows])
    tensors = {name: getattr(state, name)[rows] for name in _ROW_TENSORS}
    numbers = rows.tolist()
    indices, texts = [state.indices[n] for n in numbers], [state.texts[n] for n in numbers]
    return replace(state, indices=indices, keys=keys, texts=texts, **tensors)


def _joined(state: TextRows, new: TextRows) -> TextRows:
    append_rows(state.cache, new.cache)
    length = max(state.keys.place.shape[1], new.keys.place.shape[1])
    both = [_widened(one.keys, length) for one in (state, new)]
    keys = Places(*(torch.cat([getattr(k, name) for k in both]) for name in ("place", "branch", "block")))
    rows = {name: torch.cat([getattr(state, name), getattr(new, name)]) for name in _ROW_TENSORS}
    return replace(state, indices=state.indices + new.indices, keys=keys, texts=state.texts + new.texts, **rows)


_ROW_TENSORS = ("tokens", "done", "place", "position", "uniform")


def _widened(keys: Places, length: int) -> Places:
    """Places with padding at the end."""
    more = length - keys.place.shape[1]
    grow = torch.nn.functional.pad
    return Places(grow(keys.place, (0, more)), grow(keys.branch, (0, more), value=PADDING), grow(keys.block, (0, more)))


def open_chat(encoder: ChatEncoder, prompt: str, begun: str, image: ImageTokens | None) -> EncodedChat:
    """A chat that is open for the assistant, who may have begun to answer."""
    if begun:
        chat = encoder.encode((Turn("user", prompt), Turn("assistant", begun)), image)
        if any(chat.answer):
            return _cut(chat)
    return encoder.encode((Turn("user", prompt),), image)


def _cut(chat: EncodedChat) -> EncodedChat:
    """A chat without the end of the assistant's turn: it goes on."""
    n = len(chat.answer) - chat.answer[::-1].index(True)
    return replace(chat, ids=chat.ids[:n], answer=chat.answer[:n], target=chat.target[:n])


def generate(
    decoder: Decoder,
    encoder: ChatEncoder,
    requests: Sequence[GenerationRequest],
    sampling: Sampling,
    batch_size: int,
    progress: Callable[[int], object],
    finished: Callable[[int, list[str]], object],
) -> list[list[str]]:
    """`sampling.samples` texts for each request; each request's are handed out as soon as they are there."""
    out: list[list[str]] = [[] for _ in requests]

    def decode(number: int, rows: list[Row]) -> None:
        texts = encoder.tokenizer.batch_decode([list(row) for row in rows], skip_special_tokens=True)
        out[number] = [text.strip() for text in texts]
        finished(number, out[number])

    if requests:
        generator = Generator(decoder, encoder, sampling, encoder.end_of_turn_ids(), progress, decode)
        generator.write(requests, batch_size)
    return out
