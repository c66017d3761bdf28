"""Our engine and a vLLM server on the same prompts, in one run, and what handing weights over costs a round."""

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from experiments.engines.cpu_time import session_cpu_seconds
from experiments.engines.handover import bench_handover
from experiments.engines.measure import Engine, Rates, compare
from experiments.engines.workload import draw_requests
from experiments.speed.models import build_llava
from experiments.speed.shapes import SHAPES
from experiments.vllm_server.command import InstalledVLLM, ServerSettings
from experiments.vllm_server.process import RunningServer, running_server
from lightning_c3l.cli.bench_engines import BenchEnginesOptions
from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.lvlm.served.generator import ServedGenerator
from lightning_c3l.report.progress import stage
from lightning_c3l.runs.atomic import write_json_atomic

# prompts of our engine at the same time: the default of a round
_BATCH = 8
# first prompts of each engine, which do not count
_WARM_UP = 4
# tokens of the longest conversation: an image of 576, a question and a text
_CONTEXT = 1024
_ADAPTERS = 3
OURS = "ours"


def run_bench(options: BenchEnginesOptions, vllm: InstalledVLLM, file: Path) -> dict[str, Any]:
    """Figures by precision, with the machine and the options they were measured with.

    Args:
        options: of the command.
        vllm: environment with vLLM.
        file: JSON file, which is written after each precision.
    """
    found: dict[str, Any] = {
        "machine": {
            "device": torch.cuda.get_device_name() if options.device == "cuda" else "CPU",
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "vllm": vllm.version,
        },
        "options": {
            name: getattr(options, name)
            for name in ("shape", "device", "prompts", "samples", "tokens", "concurrency", "repeats")
        },
    }
    for precision in options.precision:
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory(prefix="c3l-bench-engines-") as folder:
            found[precision] = _figures(options, precision, vllm, Path(folder))
        found[precision]["load_average"] = [load, os.getloadavg()[0]]
        write_json_atomic(file, found)
    return found


def _figures(options: BenchEnginesOptions, precision: Precision, vllm: InstalledVLLM, folder: Path) -> dict[str, Any]:
    shape, device = SHAPES[options.shape], torch.device(options.device)
    lvlm = build_llava(folder / "model", shape, precision, device, LoRA())
    lvlm.network.eval()
    model = str(folder / "model")
    settings = ServerSettings(model, precision, LoRA().rank, _CONTEXT, port=0)
    passes = (len(options.concurrency) + 1) * (1 + options.repeats) + 1
    with (
        running_server(vllm, settings, options.out / f"vllm-{precision}.log") as server,
        stage(f"bench-engines {precision}", "passes", passes) as progress,
    ):
        served = {
            number: ServedGenerator(server.url, model, concurrency=number, handover=str(folder / "handover"))
            for number in options.concurrency
        }
        rates = _compare(options, lvlm, server, served, progress.update)
        handover = bench_handover(lvlm, server, model, folder / "handover", _ADAPTERS)
        progress.update()
    return {"rates": rates, "handover": handover, "start_seconds": server.start_seconds}


def _compare(
    options: BenchEnginesOptions,
    lvlm: HuggingFaceLVLM,
    server: RunningServer,
    served: Mapping[int, ServedGenerator],
    progress: Callable[[], object],
) -> dict[str, Rates]:
    """Rates of our engine, and of the server by the number of requests at the same time."""
    sampling = Sampling(options.samples, options.tokens, temperature=1.0)

    def of_both() -> float:
        # this process asks the server
        return session_cpu_seconds(server.session) + time.process_time()

    def draw(number: int) -> Sequence[GenerationRequest]:
        return draw_requests(SHAPES[options.shape], options.prompts, number)

    engines = {OURS: Engine(partial(lvlm.generate, sampling=sampling, batch_size=_BATCH), time.process_time)}
    for number, generator in served.items():
        engines[served_name(number)] = Engine(partial(generator.generate, sampling=sampling), of_both)
    with ExitStack() as blocks:
        for generator in served.values():
            blocks.enter_context(generator.serving(lvlm))
        return compare(engines, draw, _WARM_UP, options.repeats, progress)


def served_name(concurrency: int) -> str:
    """Name of the server in the figures."""
    return f"server, {concurrency} at a time"
