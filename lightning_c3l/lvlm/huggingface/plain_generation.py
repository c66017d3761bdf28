"""Generation by `model.generate`, with each completion sampled from its own stream of random numbers."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from lightning_c3l.lvlm.base import ConversationError, GenerationRequest, ImageError, Sampling
from lightning_c3l.lvlm.huggingface.batching import TokenIds
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.plain_rows import processor_inputs, to_model
from lightning_c3l.lvlm.huggingface.sampling import sample_tokens, uniforms
from lightning_c3l.records import Turn


class SampleFromStreams(LogitsProcessor):  # type: ignore[misc]  # transformers is untyped here
    """Sample the next token of each row from its own random numbers, and leave no other token possible.

    Args:
        length: of the prompts, in tokens.
        uniform: random numbers of each row, one per new token, [R, T].
        sampling: how completions are sampled.
        forbidden: tokens that are never sampled.
    """

    def __init__(self, length: int, uniform: Tensor, sampling: Sampling, forbidden: Sequence[int]) -> None:
        self.length, self.uniform, self.sampling, self.forbidden = length, uniform, sampling, list(forbidden)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores [R, V]: 0 for the sampled token, -inf for all others."""
        tokens = self.sample(scores, input_ids.shape[1] - self.length)
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)

    def sample(self, logits: Tensor, step: int) -> Tensor:
        """New token number `step` of each row, [R], from logits [R, V]."""
        possible = logits.float().index_fill(1, torch.tensor(self.forbidden, device=logits.device).long(), -torch.inf)
        return sample_tokens(possible, self.uniform[:, step], self.sampling)


class PlainGenerator:
    """Samples completions by the model's own `generate`, in batches.

    Args:
        model: the transformers model.
        encoder: its chat encoder.
        sampling: how completions are sampled.
        ends: tokens that end a completion.
        copies: run each prompt once and copy its cache for its completions; otherwise each completion runs it.
        progress: called with the number of completions that have ended since the last call.
        finished: called with the index of a request and the tokens of its completions once all of them have ended.
    """

    def __init__(
        self,
        model: Any,
        encoder: ChatEncoder,
        sampling: Sampling,
        ends: Collection[int],
        copies: bool,
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[TokenIds]], object] = lambda _, __: None,
    ) -> None:
        self.model, self.encoder, self.sampling, self.copies = model, encoder, sampling, copies
        self.ends = sorted(ends)
        self.progress, self.finished = progress, finished
        token, vocabulary = encoder.images.token, model.config.get_text_config().vocab_size
        # an image token that was sampled would stand for no image
        self.forbidden = [token] if 0 <= token < vocabulary else []

    @torch.no_grad()
    def generate(self, requests: Sequence[GenerationRequest], batch_size: int) -> list[list[TokenIds]]:
        """Tokens of `sampling.samples` completions for each request, without end tokens.

        Args:
            requests: prompts.
            batch_size: largest number of prompts that run at the same time.
        """
        out: list[list[TokenIds]] = [[] for _ in requests]
        for has_image in (True, False):
            waiting = [index for index, one in enumerate(requests) if (one.image is not None) == has_image]
            for start in range(0, len(waiting), batch_size):
                batch = waiting[start : start + batch_size]
                own = [requests[index] for index in batch]
                try:
                    completions = self._generate(own)
                except ImageError:
                    # images that a processor accepts, but not together
                    completions = [self._generate([one])[0] for one in own]
                for index, texts in zip(batch, completions, strict=True):
                    out[index] = texts
                    self.progress(len(texts))
                    self.finished(index, texts)
        return out

    def _generate(self, requests: Sequence[GenerationRequest]) -> list[list[TokenIds]]:
        n = self.sampling.samples
        repeats = 1 if self.copies else n
        rows = [one for one in requests for _ in range(repeats)]
        inputs = self._inputs(rows)
        _forget_rope_deltas(self.model)
        uniform = torch.cat([uniforms(one.seed, self.sampling) for one in requests]).to(self.model.device)
        length = inputs["input_ids"].shape[1]
        draw = SampleFromStreams(length, uniform, self.sampling, self.forbidden)
        with _neutral_generation_config(self.model):
            tokens = self._behind_copies(inputs, draw) if self.copies else self._plainly(inputs, draw)
        completions = [self._until_end(row) for row in tokens[:, length:].tolist()]
        return [completions[start : start + n] for start in range(0, len(completions), n)]

    def _inputs(self, rows: Sequence[GenerationRequest]) -> dict[str, Any]:
        texts = [open_text(self.encoder, one) for one in rows]
        inputs = processor_inputs(self.encoder, texts, [() if one.image is None else (one.image,) for one in rows])
        length, limit, more = inputs["input_ids"].shape[1], self.encoder.context, self.sampling.max_new_tokens
        if limit is not None and length + more > limit:
            raise ConversationError(
                f"{self.encoder.name}: a prompt of {length} tokens and max_new_tokens of {more} are longer than the "
                f"model's context of {limit}"
            )
        if self.encoder.answers_are_typed:
            inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
        return to_model(self.model, inputs)

    def _options(self, draw: SampleFromStreams | None) -> dict[str, Any]:
        pad, draws = self.encoder.tokenizer.pad_token_id, LogitsProcessorList([] if draw is None else [draw])
        return {"do_sample": False, "eos_token_id": self.ends, "pad_token_id": pad, "logits_processor": draws}

    def _plainly(self, inputs: dict[str, Any], draw: SampleFromStreams) -> Tensor:
        return self.model.generate(  # type: ignore[no-any-return]
            **inputs, max_new_tokens=self.sampling.max_new_tokens, **self._options(draw)
        )

    def _behind_copies(self, inputs: dict[str, Any], draw: SampleFromStreams) -> Tensor:
        """Run each prompt for one token, and the rest of its completions behind copies of its cache."""
        n = self.sampling.samples
        options = self._options(draw) | {
            "return_dict_in_generate": True,
            "output_logits": True,
            "logits_processor": None,
        }
        first = self.model.generate(**inputs, max_new_tokens=1, **options)
        owner = torch.arange(len(first.sequences), device=first.sequences.device).repeat_interleave(n)
        tokens = draw.sample(first.logits[0][owner], 0)
        ids = torch.cat([inputs["input_ids"][owner], tokens[:, None]], dim=1)
        if self.sampling.max_new_tokens == 1:
            return ids
        first.past_key_values.reorder_cache(owner)
        _copy_rope_deltas(self.model, owner)
        # inputs with a value for each token; new tokens are of the kind of the last one
        shape, by_token = inputs["input_ids"].shape, {"input_ids": ids}
        for name, value in inputs.items():
            if name != "input_ids" and isinstance(value, Tensor) and value.shape[:2] == shape:
                by_token[name] = torch.cat([value, value[:, -1:]], dim=1)[owner]
        more = {"past_key_values": first.past_key_values, "max_new_tokens": self.sampling.max_new_tokens - 1}
        return self.model.generate(**by_token, **more, **self._options(draw))  # type: ignore[no-any-return]

    def _until_end(self, tokens: Sequence[int]) -> TokenIds:
        stop = next((index for index, token in enumerate(tokens) if token in self.ends), len(tokens))
        return tuple(tokens[:stop])


def open_text(encoder: ChatEncoder, request: GenerationRequest) -> str:
    """Text that ends with the beginning of the assistant's turn, or with a prefix of its answer."""
    images = int(request.image is not None)
    if request.answer_prefix:
        turns = (Turn("user", request.prompt), Turn("assistant", request.answer_prefix))
        rendered = encoder.render(turns, images)
        start, stop, _ = rendered.spans[0]
        if stop > start:
            return rendered.text[:stop]
    return encoder.render((Turn("user", request.prompt),), images).text


def _forget_rope_deltas(model: Any) -> None:
    """Rows of an earlier batch are no matter of the next one."""
    if isinstance(getattr(model.base_model, "rope_deltas", None), Tensor):
        model.base_model.rope_deltas = None


def _copy_rope_deltas(model: Any, owner: Tensor) -> None:
    """Qwen2-VL and its kin note on the model how far each row's positions lie behind its tokens."""
    deltas = getattr(model.base_model, "rope_deltas", None)
    if isinstance(deltas, Tensor):
        model.base_model.rope_deltas = deltas[owner]


@contextmanager
def _neutral_generation_config(model: Any) -> Iterator[None]:
    """Without the checkpoint's own sampling options: what is sampled is the distribution that answers are scored by."""
    own = model.generation_config
    model.generation_config = GenerationConfig(bos_token_id=own.bos_token_id, pad_token_id=own.pad_token_id)
    try:
        yield
    finally:
        model.generation_config = own
