"""Our engine and a vLLM server on the same prompts, in one run, and what handing weights over costs a round."""

import os
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch

from experiments.engines.cpu_time import session_cpu_seconds
from experiments.engines.handover import bench_handover, draw_adapter
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

# prompts of our engine at the same time: the default of a round
_BATCH = 8
# first prompts of each engine, which do not count
_WARM_UP = 4
# tokens of the longest conversation: an image of 576, a question and a text
_CONTEXT = 1024
_ADAPTERS = 3
OURS = "ours"


def run_bench(options: BenchEnginesOptions, vllm: InstalledVLLM) -> dict[str, Any]:
    """Figures by precision, with the machine and the options they were measured with.

    Args:
        options: of the command.
        vllm: environment with vLLM.
    """
    before, found = os.getloadavg()[0], dict[str, Any]()
    for precision in options.precision:
        with tempfile.TemporaryDirectory(prefix="c3l-bench-engines-") as folder:
            found[precision] = _figures(options, precision, vllm, Path(folder))
    return {
        "machine": {
            "device": torch.cuda.get_device_name() if options.device == "cuda" else "CPU",
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "vllm": vllm.version,
            "load": [before, os.getloadavg()[0]],
        },
        "options": {
            name: getattr(options, name)
            for name in ("shape", "device", "prompts", "samples", "tokens", "concurrency", "repeats")
        },
        **found,
    }


def _figures(options: BenchEnginesOptions, precision: Precision, vllm: InstalledVLLM, folder: Path) -> dict[str, Any]:
    shape, device = SHAPES[options.shape], torch.device(options.device)
    lvlm = build_llava(folder / "model", shape, precision, device, LoRA())
    lvlm.network.eval()
    model = str(folder / "model")
    settings = ServerSettings(model, precision, LoRA().rank, _CONTEXT, port=0)
    most = max(options.concurrency)
    passes = (len(options.concurrency) + 3) * (1 + options.repeats) + 1
    with (
        running_server(vllm, settings, options.out / f"vllm-{precision}.log") as server,
        stage(f"bench-engines {precision}", "passes", passes) as progress,
    ):
        served = {
            number: ServedGenerator(server.url, model, concurrency=number, handover=str(folder / "handover"))
            for number in options.concurrency
        }
        bench = _Bench(lvlm, server, options)
        with lvlm.reference():
            base = bench.compare(served, progress.update)
        draw_adapter(lvlm, 0)
        tuned = bench.compare({most: served[most]}, progress.update)
        handover = bench_handover(lvlm, server, model, folder / "handover", _ADAPTERS)
        progress.update()
    return {"base": base, "adapter": tuned, "handover": handover, "start_seconds": server.start_seconds}


class _Bench:
    """Comparisons of our engine with a server.

    Args:
        lvlm: whose weights both use.
        server: has its checkpoint.
        options: of the command.
    """

    def __init__(self, lvlm: HuggingFaceLVLM, server: RunningServer, options: BenchEnginesOptions) -> None:
        self._lvlm, self._server, self._options = lvlm, server, options
        self._sampling = Sampling(options.samples, options.tokens, temperature=1.0)

    def compare(self, served: dict[int, ServedGenerator], progress: Any) -> dict[str, Rates]:
        """Rates of our engine, and of the server by the number of requests at the same time."""
        ours = partial(self._lvlm.generate, sampling=self._sampling, batch_size=_BATCH)
        engines = {OURS: Engine(ours, time.process_time)}
        for number, generator in served.items():
            ask = partial(generator.generate, sampling=self._sampling)
            engines[served_name(number)] = Engine(ask, self._cpu_seconds)
        with ExitStack() as blocks:
            for generator in served.values():
                blocks.enter_context(generator.serving(self._lvlm))
            return compare(engines, self._draw, _WARM_UP, self._options.repeats, progress)

    def _cpu_seconds(self) -> float:
        """Of the server and of this process, which asks it."""
        return session_cpu_seconds(self._server.session) + time.process_time()

    def _draw(self, number: int) -> Sequence[GenerationRequest]:
        return draw_requests(SHAPES[self._options.shape], self._options.prompts, number)


def served_name(concurrency: int) -> str:
    """Name of the server in the figures."""
    return f"server, {concurrency} at a time"
