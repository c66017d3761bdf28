"""`ServedGenerator`: completions from inference servers, with the weights of an LVLM of this process."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from PIL.Image import Image
from torch import nn

from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.base import GenerationRequest, LVLMError, Sampling
from lightning_c3l.lvlm.external import GENERATOR_DTYPE, ExternalGenerator, ServableLVLM
from lightning_c3l.lvlm.installation import install_command
from lightning_c3l.lvlm.served.batch import RequestBatch
from lightning_c3l.lvlm.served.client import ChatClient, Recovery
from lightning_c3l.lvlm.served.handover import HandOver
from lightning_c3l.lvlm.served.options import ServedOptions, server_urls
from lightning_c3l.lvlm.served.pool import Server, ServerFailure
from lightning_c3l.lvlm.served.vllm_api import ServerError, VLLMServers
from lightning_c3l.runs.manifest import UNKNOWN

# requests of one call for each that is under way: the last ones of a call leave servers idle
_CALLS = 2


class ServedGenerator(ExternalGenerator):
    """Generates on servers of vLLM, or of another OpenAI-compatible engine.

    Args:
        url: address of a server, such as `http://localhost:8000`, or of several; `{rank}` stands for the rank of each
            process, for servers of their own.
        model: name under which the servers serve the LVLM's base (`--served-model-name`).
        options: fields of `ServedOptions`.

    Attributes:
        requests_at_once: see `ExternalGenerator`.
        name: of the base at the servers.
        fingerprint: that of the LVLM whose weights are served.

    Raises:
        LVLMError: if an address or the key cannot be used, or the package `openai` is missing.
    """

    def __init__(self, url: str | list[str], model: str, **options: Any) -> None:
        self.options = ServedOptions(**options)
        self.url, self.model, self.name = url, model, model
        self.requests_at_once = _CALLS * self.options.concurrency
        server_urls(url, 0)
        self.options.key()
        if not model:
            raise LVLMError("generator.model: is empty; give the name under which the servers serve the base")
        if find_spec("openai") is None:
            raise LVLMError(f"generating on servers needs a package: {install_command('[served]')}")
        self.fingerprint = ""
        self._lvlm: ServableLVLM | None = None
        self._is_reference = False
        # what requests name as their model
        self._served = model
        self._servers: list[Server] | None = None
        self._hand: HandOver | None = None

    @property
    def dtype(self) -> torch.dtype | None:
        """Precision of the LVLM whose weights are served; a server may use another one."""
        return self._serves.dtype

    @property
    def chat_template(self) -> str:
        """That of the LVLM whose weights are served."""
        return self._serves.chat_template

    @property
    def network(self) -> nn.Module:
        """An empty module: no weights are in this process."""
        return nn.Module()

    def identity(self) -> dict[str, str]:
        """Engine, version and name of the base at the servers, and their precision; see `ExternalGenerator.identity`.

        Raises:
            LVLMError: if a server cannot be asked, or servers differ.
        """
        if self.options.api == "openai":
            return {"generator": f"openai {self.model}", GENERATOR_DTYPE: UNKNOWN}
        servers = self._handover.servers
        return {"generator": f"vllm {servers.version()} {self.model}", GENERATOR_DTYPE: servers.dtype()}

    def serving(self, lvlm: ServableLVLM) -> AbstractContextManager[None]:
        """Within this context, `generate` uses the weights of `lvlm`; see `ExternalGenerator.serving`."""
        return self._serving(lvlm)

    @contextmanager
    def _serving(self, lvlm: ServableLVLM) -> Iterator[None]:
        # apart, since the command line compares the annotations of `serving` with those of the protocol
        if self._lvlm is not None:
            if (lvlm, lvlm.is_reference) != (self._lvlm, self._is_reference):
                raise RuntimeError("ServedGenerator: serves other weights already; leave that block first")
            yield
            return
        if self.options.api == "openai":
            self._require_base(lvlm)
        else:
            self._hand_over(lvlm)
            for server in self._asked:
                server.is_lost, server.seen_at = False, time.monotonic()
        self._lvlm, self._is_reference, self.fingerprint = lvlm, lvlm.is_reference, lvlm.fingerprint
        try:
            yield
        finally:
            self._lvlm = None
        # not after an error, with which other processes do not come here
        if self.options.api == "vllm":
            self._handover.sleep()

    def _hand_over(self, lvlm: ServableLVLM) -> None:
        """Wake the servers, give them the weights and check that they use them."""
        began, before = time.monotonic(), self._served
        self._handover.wake()
        self._served = self._handover.model_for(lvlm)
        off = self._handover.check(lvlm, self._served)
        if self._served != before:
            rank_zero_info(
                f"servers: {self._served} handed over and checked in {time.monotonic() - began:.1f} s, probe answers "
                f"differ by {off:.1g} nats per token"
            )

    def unsupported_images(self, images: Sequence[Image]) -> list[str]:
        """Error message per image, '' if the LVLM whose weights are served accepts it."""
        return self._serves.unsupported_images(images)

    def cache_image_features(self) -> AbstractContextManager[None]:
        """No-op: servers keep features of their own."""
        return nullcontext()

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int | None = None,
        progress: Callable[[int], object] = lambda _: None,
        finished: Callable[[int, list[str]], object] = lambda _, __: None,
    ) -> list[list[str]]:
        """Sample `sampling.samples` completions for each request; see `TextGenerator.generate`.

        `batch_size` has no effect: `concurrency` says how many requests run at the same time.

        Raises:
            LVLMError: if servers read prompts as other tokens than this process, refuse a request or are gone; what was
                finished has been handed out.
        """
        lvlm, compares = self._serves, self.options.api == "vllm"
        batch = RequestBatch(lvlm, requests, sampling, compares, progress, finished)
        jobs = batch.jobs(self._served)
        if not compares:
            ChatClient(self._asked, self.options).complete(jobs, self.options.concurrency)
        else:
            recovery = Recovery(self._restore, self._handover.forgets_weights)
            with self._handover.in_flight(self._served):
                ChatClient(self._asked, self.options, recovery).complete(jobs, self.options.concurrency)
        return [batch.completions[index] for index in range(len(requests))]

    @property
    def _serves(self) -> ServableLVLM:
        if self._lvlm is None:
            raise RuntimeError("ServedGenerator: only inside `serving` an LVLM")
        return self._lvlm

    @property
    def _asked(self) -> list[Server]:
        """The servers that this process asks; how they do is remembered."""
        if self._servers is None:
            self._servers = [Server(url) for url in server_urls(self.url, collectives.rank())]
        return self._servers

    @property
    def _handover(self) -> HandOver:
        if self._hand is None:
            urls = [server.url for server in self._asked]
            servers = VLLMServers(urls, self.options.key(), self.options.timeout)
            self._hand = HandOver(servers, self.options, self.model)
        return self._hand

    def _restore(self, url: str) -> None:
        """Hand the weights to a server again."""
        try:
            self._handover.restore(url)
        except ServerError as error:  # it may still be starting
            raise ServerFailure(str(error), is_about_request=False, is_lost=True) from None

    def _require_base(self, lvlm: ServableLVLM) -> None:
        """Refuse to generate with the weights that a server has, where those of the LVLM have been trained."""
        if not lvlm.is_reference and not lvlm.is_untrained():
            raise LVLMError(
                "generator.api: openai generates with the weights that the server has, but the LVLM has been trained: "
                "use servers of vLLM (generator.api: vllm), or merge the adapter (`merge`) and serve that checkpoint"
            )
