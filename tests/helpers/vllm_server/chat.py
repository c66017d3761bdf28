"""The chat endpoint: what a request asks for, and the answer to it."""

import base64
import binascii
import io
import random
from dataclasses import dataclass
from typing import Any

from PIL import Image, UnidentifiedImageError

from lightning_c3l.lvlm.base import Sampling
from tests.helpers.vllm_server.engine import (
    Conversation,
    Limits,
    complete,
    distorted,
    model_inputs,
    prompt_logprobs,
)
from tests.helpers.vllm_server.state import Batcher, ServerState

_DATA_URL = "data:image/png;base64,"


class BadRequest(Exception):
    """What a client did wrong; `parameter` names the field."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True)
class Job:
    """What the engine does for one request.

    Attributes:
        chat: the conversation.
        seed: of its completions.
    """

    chat: Conversation
    seed: int


@dataclass(frozen=True)
class Done:
    """What the engine did.

    Attributes:
        prompt: token row of the conversation.
        completions: tokens of each, without the end.
        logprobs: of the prompt, where asked for.
    """

    prompt: list[int]
    completions: list[tuple[int, ...]]
    logprobs: list[dict[str, Any] | None] | None = None


class ChatEndpoint:
    """Answers chat requests with a server's weights.

    Args:
        state: of the server.
    """

    def __init__(self, state: ServerState) -> None:
        self.state = state
        self.batcher = Batcher(self._run)

    async def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        """A chat completion.

        Raises:
            BadRequest: if the request is not one that vLLM takes.
        """
        model, sampling, scores = str(body.get("model")), _sampling(body), body.get("prompt_logprobs") is not None
        chat = distorted(conversation(body), self.state.faults.other_template, self.state.faults.other_pixels)
        limits = self._limits(body)
        seed = body.get("seed")
        job = Job(chat, random.randrange(2**31) if seed is None else int(seed))
        if not scores and len(chat.messages) > 1 + chat.is_open:
            raise NotImplementedError("the stand-in completes prompts of one turn only")
        if scores and (sampling.samples, sampling.max_new_tokens) != (1, 1):
            raise NotImplementedError("the stand-in scores prompts with max_tokens 1 and n 1 only")
        done = await self.batcher.submit((model, scores, sampling, limits), job)
        return self._completion(body, model, sampling, done)

    def _run(self, key: tuple[str, bool, Sampling, Limits], jobs: list[Job]) -> list[Done]:
        model, scores, sampling, limits = key
        lvlm = self.state.weights_of(model, reads_cache=not scores)
        inputs = [model_inputs(lvlm, job.chat) for job in jobs]
        rows = [one["input_ids"][0].tolist() for one in inputs]
        for row in rows:
            if len(row) + sampling.max_new_tokens > self.state.weights.max_model_len:
                raise BadRequest(
                    f"This model's maximum context length is {self.state.weights.max_model_len} tokens. However, you "
                    f"requested {sampling.max_new_tokens} output tokens and your prompt contains {len(row)} input "
                    "tokens.",
                    "input_tokens",
                )
        if scores:
            found = [prompt_logprobs(lvlm, one) for one in inputs]
            return [Done(row, [(token,)], own) for row, (own, token) in zip(rows, found, strict=True)]
        texts = complete(lvlm, [job.chat for job in jobs], [job.seed for job in jobs], sampling, limits)
        return [Done(row, own) for row, own in zip(rows, texts, strict=True)]

    def _limits(self, body: dict[str, Any]) -> Limits:
        ends, bias = body.get("stop_token_ids") or [], body.get("logit_bias") or {}
        for name, tokens in (("stop_token_ids", ends), ("logit_bias", bias)):
            for token in tokens:
                if not str(token).isdecimal() or int(token) >= self.state.weights.vocab_size:
                    raise BadRequest(f"token_id {token} in {name} contains out-of-vocab token id", name)
        return Limits(tuple(ends), tuple((int(token), float(value)) for token, value in bias.items()))

    def _completion(self, body: dict[str, Any], model: str, sampling: Sampling, done: Done) -> dict[str, Any]:
        tokenizer, choices = self.state.weights.base.processor.tokenizer, list[dict[str, Any]]()
        end, written = tokenizer.eos_token_id, 0
        for index, ids in enumerate(done.completions):
            is_whole = len(ids) == sampling.max_new_tokens
            tokens = [*ids] if is_whole else [*ids, end]
            written += len(tokens)
            message = {"role": "assistant", "content": tokenizer.decode(ids, skip_special_tokens=True)}
            choices.append(
                {
                    "index": index,
                    "message": {**message, "refusal": None, "annotations": None, "audio": None, "function_call": None},
                    "logprobs": None,
                    "finish_reason": "length" if is_whole else "stop",
                    "stop_reason": None,
                    "token_ids": tokens if body.get("return_token_ids") else None,
                }
            )
        read = len(done.prompt)
        return {
            "id": f"chatcmpl-{random.randrange(16**8):08x}",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": choices,
            "system_fingerprint": self.state.fingerprint,
            "usage": {"prompt_tokens": read, "total_tokens": read + written, "completion_tokens": written},
            "prompt_logprobs": done.logprobs,
            "prompt_token_ids": done.prompt if body.get("return_token_ids") else None,
        }


def conversation(body: dict[str, Any]) -> Conversation:
    """The conversation of a chat request.

    Raises:
        BadRequest: if it has none that vLLM takes.
    """
    is_open, begins = bool(body.get("continue_final_message")), body.get("add_generation_prompt", True)
    if is_open and begins:
        raise BadRequest("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
    images, messages = list[Image.Image](), list[dict[str, Any]]()
    for message in body.get("messages") or []:
        content = message["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        messages.append({"role": message["role"], "content": [_part(part, images) for part in parts]})
    if not messages or not (is_open or begins):
        raise BadRequest("the stand-in takes open conversations only", "messages")
    return Conversation(
        messages, images, is_open, body.get("chat_template_kwargs") or {}, bool(body.get("add_special_tokens", False))
    )


def _part(part: dict[str, Any], images: list[Image.Image]) -> dict[str, Any]:
    """A part of a message as the chat template takes it; its image is appended to the others."""
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    url = part["image_url"]["url"] if part["type"] == "image_url" else ""
    try:
        content = base64.b64decode(url.removeprefix(_DATA_URL), validate=True)
        images.append(Image.open(io.BytesIO(content)).convert("RGB"))
    except (binascii.Error, UnidentifiedImageError, OSError) as error:
        raise BadRequest(f"Failed to load image: {error}") from error
    return {"type": "image"}


def _sampling(body: dict[str, Any]) -> Sampling:
    """How completions are sampled, within vLLM's ranges."""
    values = {name: body.get(name) for name in ("n", "temperature", "top_p", "max_tokens")}
    n, temperature, top_p, length = (1.0 if value is None else value for value in values.values())
    if n < 1:
        raise BadRequest(f"n must be at least 1, got {n}.")
    if not 0 <= temperature <= 2:
        raise BadRequest(f"temperature must be in [0, 2], got {temperature}.", "temperature")
    if not 0 < top_p <= 1:
        raise BadRequest(f"top_p must be in (0, 1], got {top_p}.", "top_p")
    if length < 1:
        raise BadRequest(f"max_tokens must be at least 1, got {length}.", "max_tokens")
    return Sampling(int(n), int(length), float(temperature), float(top_p))
