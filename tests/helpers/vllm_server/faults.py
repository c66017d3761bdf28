"""What a server does wrong."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

# in place of completions; "ok" gives them
Answer = Literal[
    "ok", "429", "500", "502", "503", "hang", "cut", "garbage", "html", "empty", "fewer", "null", "foreign"
]


@dataclass
class Faults:
    """What a server does wrong, and how it was started; all of it may be changed while it runs.

    Attributes:
        ignores_tower: adapters of the vision tower and of the projector are left out.
        keeps_stale: a name that has had an adapter keeps its first weights, whatever is loaded under it.
        mixes_batches: requests for the base run with an adapter's weights while one for the adapter is in flight.
        other_template: another chat template: prompts have one more word.
        other_pixels: another image processor: images are mirrored.
        answers: what becomes of the next requests for completions, one after the other.
        retry_after: seconds that a 429 asks to wait.
        restarts_after: after so many requests for completions all connections break, and adapters are forgotten, once.
        dies_after: after so many requests for completions the server is gone.
        dev_mode: has the routes of `VLLM_SERVER_DEV_MODE=1`: sleep, reload and reset.
        hides_config: fails to say how it was started, as where neither pip nor uv can list its packages.
        loads_adapters: has the routes of `VLLM_ALLOW_RUNTIME_LORA_UPDATING=1`.
        max_lora_rank: largest rank that it was started for.
        api_key: what requests to /v1 must carry.
        version: of vLLM.
    """

    ignores_tower: bool = False
    keeps_stale: bool = False
    mixes_batches: bool = False
    other_template: bool = False
    other_pixels: bool = False
    answers: deque[Answer] = field(default_factory=deque)
    retry_after: float = 0.0
    restarts_after: int | None = None
    dies_after: int | None = None
    dev_mode: bool = True
    hides_config: bool = False
    loads_adapters: bool = True
    max_lora_rank: int = 16
    api_key: str | None = None
    version: str = "0.32.0"
