"""The requests of one call of `generate`: bodies made when their turn comes, and answers checked before they count."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from PIL.Image import Image

from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.external import ServableLVLM
from lightning_c3l.lvlm.served.answers import check_prompt, completions_of
from lightning_c3l.lvlm.served.client import ChatJob
from lightning_c3l.lvlm.served.messages import chat_body, data_url, sampling_body

TokenIds = tuple[int, ...]


class RequestBatch:
    """Requests to complete.

    Each image is encoded once, and preprocessed once for the token rows of all of its prompts.

    Args:
        lvlm: whose weights are served; gives the token rows that servers must read.
        requests: the prompts.
        sampling: how completions are sampled.
        compares: whether the token rows that servers read are compared.
        progress: called with the number of completions that have ended since the last call.
        finished: called once for each request, with its index and its completions.
    """

    def __init__(
        self,
        lvlm: ServableLVLM,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        compares: bool,
        progress: Callable[[int], object],
        finished: Callable[[int, list[str]], object],
    ) -> None:
        self._lvlm, self._requests, self._sampling, self._compares = lvlm, requests, sampling, compares
        self._progress, self._finished = progress, finished
        self._options = lvlm.request_options()
        self.completions = dict[int, list[str]]()
        self._rows = dict[int, TokenIds]()
        self._urls = dict[int, str]()
        # requests about each image; those without image are alike
        self._about = dict[int, list[int]]()
        for index, one in enumerate(requests):
            self._about.setdefault(id(one.image), []).append(index)

    def jobs(self, model: str) -> list[ChatJob]:
        """The requests, to a model of the servers; to be done within one event loop."""
        # one at a time: tokenizers may not be used by several threads
        encoding = asyncio.Lock()
        return [
            ChatJob(partial(self._body, index, model, encoding), partial(self._accept, index))
            for index in range(len(self._requests))
        ]

    async def _body(self, index: int, model: str, encoding: asyncio.Lock) -> dict[str, Any]:
        """The body of a request; its image and the rows of its prompts are made in a thread."""
        async with encoding:
            if index not in self._rows:
                await asyncio.to_thread(self._prepare, self._requests[index].image)
        request = self._requests[index]
        return {
            "model": model,
            **chat_body(self._lvlm, request, self._urls.get(id(request.image))),
            **sampling_body(self._options, self._sampling, request.seed),
            **({"return_token_ids": True} if self._compares else {}),
        }

    def _prepare(self, image: Image | None) -> None:
        """Encode an image and compute the token rows of all prompts about it."""
        if image is not None:
            self._urls[id(image)] = data_url(image)
        indices = self._about[id(image)]
        rows = (
            self._lvlm.prompt_ids([self._requests[index] for index in indices])
            if self._compares
            else [()] * len(indices)
        )
        self._rows.update(zip(indices, rows, strict=True))

    def _accept(self, index: int, url: str, answer: dict[str, Any]) -> None:
        """Keep the completions of an answer, after its checks."""
        texts = completions_of(url, answer, self._sampling)
        if self._compares:
            check_prompt(url, answer, self._rows[index], self._options)
        self.completions[index] = texts
        self._progress(len(texts))
        self._finished(index, texts)
        image = self._requests[index].image
        if all(other in self.completions for other in self._about[id(image)]):
            # its file is not needed any more
            self._urls.pop(id(image), None)
