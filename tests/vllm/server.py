"""A real server that tests may kill and start again at the same address."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import torch

from experiments.vllm_server.command import InstalledVLLM, ServerSettings
from experiments.vllm_server.process import RunningServer, free_port, running_server, session_processes
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM

# tokens of the longest conversation, and of what a CPU keeps of conversations
_CONTEXT, _CACHE_GIB = 512, 1
# seconds until a server answers, on a machine that is busy
_START = 540
_LOADED = re.compile(r'"POST /v1/(load|unload)_lora_adapter HTTP/1\.1" 200')
_RELOADED = re.compile(r'"POST /collective_rpc HTTP/1\.1" 200')


def untie_head(model: Any) -> None:
    """Give a model of transformers a head of its own, with the weights of the embeddings that it was tied to."""
    model.config.tie_word_embeddings = model.config.get_text_config().tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.get_input_embeddings().weight.detach().clone())


@torch.no_grad()
def move_weights(lvlm: HuggingFaceLVLM, seed: int) -> None:
    """Change all weights, as full fine-tuning does."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in lvlm.network.parameters():
        parameter.mul_(1 + 0.05 * torch.randn(parameter.shape, generator=generator))


class RealServer:
    """A server of one checkpoint in float32.

    Args:
        vllm: environment with vLLM.
        model: checkpoint folder or `shipped:` name.
        folder: for its log and for what is handed over.
    """

    def __init__(self, vllm: InstalledVLLM, model: str, folder: Path) -> None:
        self.vllm, self.model, self.folder = vllm, model, folder
        self.log, self.port = folder / "server.log", free_port()
        self._stack = ExitStack()
        self._running: RunningServer | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, with all of its processes."""
        self._stack.close()

    @property
    def url(self) -> str:
        """Its address, the same after a new start."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = ServerSettings(
            self.model, "float32", rank=16, max_model_len=_CONTEXT, port=self.port, cache_gib=_CACHE_GIB
        )
        self._running = self._stack.enter_context(running_server(self.vllm, settings, self.log, _START))
        print(f"[server] {self.model}: answers after {self._running.start_seconds:.0f} s", flush=True)

    def kill(self) -> None:
        """SIGKILL to all of its processes, as a machine's end."""
        assert self._running is not None
        for number in session_processes(self._running.session):
            with suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self._stack.close()

    def generator(self, **options: Any) -> dict[str, Any]:
        """The entry of a configuration: a generator on this server."""
        given = {"url": self.url, "model": self.model, "handover": str(self.folder / "handover"), **options}
        return {"class_path": "lightning_c3l.lvlm.served.generator.ServedGenerator", "init_args": given}

    @contextmanager
    def counting(self) -> Iterator[dict[str, int]]:
        """Gives a dict that has, once the context is left, the requests of its time that changed the weights."""
        begin, found = self.log.stat().st_size, dict[str, int]()
        yield found
        with self.log.open("rb") as file:
            file.seek(begin)
            text = file.read().decode(errors="replace")
        kinds = [match[1] for match in _LOADED.finditer(text)]
        found |= {"load": kinds.count("load"), "unload": kinds.count("unload"), "rpc": len(_RELOADED.findall(text))}
