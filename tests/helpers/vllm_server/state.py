"""What a running stand-in knows: its weights, what is loaded and asleep, and what it was asked."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helpers.vllm_server.engine import ServedWeights
from tests.helpers.vllm_server.faults import Faults


@dataclass(frozen=True)
class Request:
    """What the server was asked.

    Attributes:
        method: of HTTP.
        path: without the query.
        query: behind the question mark.
        body: as JSON; empty where there was none.
        key: what came in `Authorization`.
    """

    method: str
    path: str
    query: str
    body: dict[str, Any]
    key: str = ""


class ServerState:
    """All that a server has in memory, and what a restart makes of it.

    Args:
        checkpoint: of the base.
        name: that the base is served under.
        weights: loaded already, where another server has the same.
        faults: how the server was started, and what it does wrong.
    """

    def __init__(self, checkpoint: str, name: str, weights: ServedWeights, faults: Faults) -> None:
        self.checkpoint, self.name, self.weights, self.faults = checkpoint, name, weights, faults
        self.requests = list[Request]()
        self.in_flight = Counter[str]()
        self.completions = 0
        self.forget()

    @property
    def fingerprint(self) -> str:
        """What answers carry of version and configuration: the same after a restart."""
        return f"vllm-{self.faults.version}-47b8cfd2"

    @property
    def dtype(self) -> str:
        """Precision of the weights."""
        return str(self.weights.base.dtype)

    def forget(self) -> None:
        """Be as after a start: no adapter, nothing cached, awake, the base as its checkpoint has it."""
        self.instance_id = str(time.time_ns())
        self.adapters = dict[str, str]()
        self.is_sleeping, self.is_lost = False, False
        # models whose prompts the prefix cache still holds with other weights, and these weights
        self.cached = dict[str, Any]()
        if getattr(self, "is_reloaded", False):
            self.weights.load_base(self.checkpoint)
        self.is_reloaded = False
        self.weights.adapters.clear()

    def load(self, name: str, folder: str) -> None:
        """Load an adapter; prompts of an earlier one with its name stay in the prefix cache."""
        self.adapters[name] = folder
        if name in self.weights.adapters:
            self.cached[name] = self.weights.adapters[name]
        if name not in self.weights.adapters or not self.faults.keeps_stale:
            self.weights.load_adapter(name, Path(folder), self.faults.ignores_tower)

    def unload(self, name: str) -> None:
        """Unload an adapter; its prompts stay in the prefix cache."""
        del self.adapters[name]
        self.cached[name] = self.weights.adapters[name]
        if not self.faults.keeps_stale:
            del self.weights.adapters[name]

    def reload(self, checkpoint: str) -> None:
        """Other weights of the base; cached prompts stay."""
        self.cached[self.name] = self.weights.base
        self.weights.load_base(checkpoint)
        self.is_reloaded, self.is_lost = True, False

    def weights_of(self, model: str, reads_cache: bool) -> Any:
        """The LVLM that a request for a model runs with."""
        if self.faults.mixes_batches and model == self.name:
            others = [name for name in self.adapters if self.in_flight[name]]
            model = others[0] if others else model
        if reads_cache and model in self.cached:
            return self.cached[model]
        return self.weights.lvlm(None if model == self.name else model)

    def is_served(self, model: str) -> bool:
        """Whether requests for a model are answered."""
        return model == self.name or model in self.adapters

    @contextmanager
    def busy(self, model: str) -> Iterator[None]:
        """Within this context, a request for a model is in flight."""
        self.in_flight[model] += 1
        try:
            yield
        finally:
            self.in_flight[model] -= 1


class Batcher:
    """Runs jobs that wait for the same weights and sampling together, as vLLM does, one batch at a time.

    Args:
        run: takes a key and a list of jobs, and returns a result for each; called in a thread.
        at_once: most jobs of a batch.
    """

    def __init__(self, run: Callable[[Any, list[Any]], list[Any]], at_once: int = 16) -> None:
        self.run, self.at_once = run, at_once
        self._waiting = list[tuple[Any, Any, asyncio.Future[Any]]]()
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, key: Any, job: Any) -> Any:
        """Result of a job; jobs with equal keys may run together."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, job, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            key = self._waiting[0][0]
            taken = [one for one in self._waiting if one[0] == key][: self.at_once]
            numbers = {id(one) for one in taken}
            self._waiting = [one for one in self._waiting if id(one) not in numbers]
            try:
                results = await asyncio.to_thread(self.run, key, [job for _, job, _ in taken])
            except Exception as error:
                for _, _, future in taken:
                    if not future.done():
                        future.set_exception(error)
            else:
                for (_, _, future), result in zip(taken, results, strict=True):
                    if not future.done():
                        future.set_result(result)
