"""Where the servers are, and how they are asked."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.runs.endpoints import is_key, url_problem

# "vllm": weights are handed over and token rows are compared; "openai": plain chat with the weights that are served
ServerAPI = Literal["vllm", "openai"]
# replaced in a URL by the rank of the process that asks
RANK = "{rank}"
# sent to servers that need no key
NO_KEY = "none"


@dataclass(frozen=True)
class ServedOptions:
    """How servers are asked; flat options of `ServedGenerator`.

    Attributes:
        api: `vllm` hands the trained weights over and compares token rows; `openai` is plain chat of any
            OpenAI-compatible server, with the weights that it serves: for a base that has not been trained.
        concurrency: requests at the same time from each process, over all of its servers. 64 keeps one GPU busy
            with a 7 B model; lower it where requests time out.
        timeout: seconds that one request may take, waiting in the server's queue included.
        retries: times in a row that a server may fail before it counts as gone; it is asked again after 1, 2, 4 ...
            seconds, at most 60.
        handover: folder for adapters and weights that are handed over; servers must see it under the same path.
        tolerance: largest mean difference of log-probabilities of probe answers, in nats; null: by precision.
        sleep: let servers that can do so give their GPU memory back while they are not needed.
        api_key_env: environment variable with the servers' key; without it, none is sent.
    """

    api: ServerAPI = "vllm"
    concurrency: int = 64
    timeout: float = 300.0
    retries: int = 5
    handover: str = "runs/handover"
    tolerance: float | None = None
    sleep: bool = True
    api_key_env: str = "OPENAI_API_KEY"

    def __post_init__(self) -> None:
        """Validate the ranges."""
        if self.api not in ("vllm", "openai"):
            raise ValueError(f"generator.api must be vllm or openai, not {self.api!r}")
        if self.concurrency < 1:
            raise ValueError(f"generator.concurrency must be at least 1, not {self.concurrency}")
        if not 0 < self.timeout < float("inf"):
            raise ValueError(f"generator.timeout must be above 0 seconds, not {self.timeout}")
        if self.retries < 0:
            raise ValueError(f"generator.retries must not be negative, not {self.retries}")
        if not self.handover:
            raise ValueError("generator.handover must not be empty; servers see this folder under the same path")
        if self.tolerance is not None and not self.tolerance > 0:
            raise ValueError(f"generator.tolerance must be above 0, not {self.tolerance}")

    def key(self) -> str:
        """The servers' key; it is stored nowhere.

        Raises:
            LVLMError: if it contains characters that no key has.
        """
        key = os.environ.get(self.api_key_env, "").strip()
        if not is_key(key):
            raise LVLMError(f"{self.api_key_env} contains characters that no key has; set it again")
        return key or NO_KEY


def server_urls(url: str | Sequence[str], rank: int) -> list[str]:
    """Addresses of the servers that a process asks, without `/v1` at their ends.

    Args:
        url: one or several, with `{rank}` for servers of single processes.
        rank: of the process.

    Raises:
        LVLMError: if there is none, or one is not an address.
    """
    given = [url] if isinstance(url, str) else list(url)
    if not given:
        raise LVLMError("generator.url: names no server; give an address such as http://localhost:8000")
    if isinstance(url, str) and url.lstrip().startswith("["):
        raise LVLMError("generator.url: is no list; in a list with {rank}, put each address in quotes")
    urls = [one.strip().replace(RANK, str(rank)).rstrip("/").removesuffix("/v1") for one in given]
    for one in urls:
        if problem := url_problem(one):
            raise LVLMError(f"generator.url: {problem}; a key is read only from the environment")
    return list(dict.fromkeys(urls))
