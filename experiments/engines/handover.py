"""What a round pays before it can generate on a server: the hand-over of an adapter, and the check that it is used."""

import time
from pathlib import Path

import torch

from experiments.engines.cpu_time import session_cpu_seconds
from experiments.speed.timing import Spread, spread
from experiments.vllm_server.process import RunningServer
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.served.handover import HandOver
from lightning_c3l.lvlm.served.options import ServedOptions
from lightning_c3l.lvlm.served.vllm_api import VLLMServers

# of an adapter's weights: large enough to change what the model says, small enough to keep its texts varied
_STD = 0.02


@torch.no_grad()
def draw_adapter(lvlm: HuggingFaceLVLM, seed: int) -> None:
    """Draw all weights of the adapter, as a round of training would change them."""
    random = torch.Generator().manual_seed(seed)
    for name, parameter in lvlm.network.named_parameters():
        if "lora_" in name:
            parameter.copy_(_STD * torch.randn(parameter.shape, generator=random))


def bench_handover(
    lvlm: HuggingFaceLVLM, server: RunningServer, model: str, folder: Path, repeats: int
) -> dict[str, Spread]:
    """Hand new adapters over, one after the other, without generating.

    Args:
        lvlm: with an adapter.
        server: loads it.
        model: name of the base in requests.
        folder: for the adapters.
        repeats: number of adapters that count; one more before them does not.

    Returns:
        Spreads of `handover_seconds`, to wake the server, save and load; of `check_seconds`, to compare probe answers;
        and of `cpu_seconds` of this process and the server for both.
    """
    options = ServedOptions(handover=str(folder))
    hand = HandOver(VLLMServers([server.url], options.key(), options.timeout), options, model)
    found: dict[str, list[float]] = {"handover_seconds": [], "check_seconds": [], "cpu_seconds": []}
    for number in range(repeats + 1):
        draw_adapter(lvlm, 1 + number)
        used, start = time.process_time() + session_cpu_seconds(server.session), time.perf_counter()
        hand.wake()
        name = hand.model_for(lvlm)
        handed_over = time.perf_counter()
        hand.check(lvlm, name)
        checked = time.perf_counter()
        used = time.process_time() + session_cpu_seconds(server.session) - used
        if number:
            values = (handed_over - start, checked - handed_over, used)
            for own, value in zip(found.values(), values, strict=True):
                own.append(value)
        hand.sleep()
    return {name: spread(values) for name, values in found.items()}
