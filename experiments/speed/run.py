"""The whole bench: every figure from one run, medians of several repeats with their extremes."""

import tempfile
from pathlib import Path
from typing import Any

import torch

from experiments.speed.generation import bench_generation, texts_differing
from experiments.speed.memory import peak_bytes
from experiments.speed.models import build_llava
from experiments.speed.paths import bench_paths
from experiments.speed.scoring import bench_growth, bench_scoring
from experiments.speed.shapes import SHAPES, Shape, variants
from experiments.speed.timing import ratio
from experiments.speed.training import bench_training
from lightning_c3l.cli.bench import BenchOptions
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.report.progress import stage

_VOCABULARIES = {"32k": "small-32000", "152k": "small-152000"}
# float32 stands at the top of the figures, the others under these names
_SHORT_NAMES = {"bfloat16": "bf16", "float16": "fp16"}


def run_bench(options: BenchOptions) -> dict[str, Any]:
    """Figures by precision, with the machine and the options they were measured with."""
    device = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    found: dict[str, Any] = {
        "machine": {"device": device, "threads": torch.get_num_threads(), "torch": torch.__version__},
        "options": {
            **{name: getattr(options, name) for name in ("shape", "device", "repeats")},
            "growth": not options.no_growth,
            "memory": not options.no_memory,
        },
    }
    with tempfile.TemporaryDirectory(prefix="c3l-bench-") as folder:
        for precision in options.precision:
            own = options.checkpoint is not None
            figures = _paths(options, precision) if own else _figures(options, precision, Path(folder))
            found |= {_SHORT_NAMES[precision]: figures} if precision in _SHORT_NAMES else figures
    return found


def _paths(options: BenchOptions, precision: Precision) -> dict[str, Any]:
    """Figures of the paths of a checkpoint of the user's."""
    lvlm = HuggingFaceLVLM(str(options.checkpoint), lora=None, dtype=precision, keep_reference=False)
    lvlm.network.to(torch.device(options.device))
    return {"paths": bench_paths(lvlm, SHAPES[options.shape], options.repeats)}


def _figures(options: BenchOptions, precision: Precision, root: Path) -> dict[str, Any]:
    shape, device, cuda = SHAPES[options.shape], torch.device(options.device), options.device == "cuda"
    growth = {} if options.no_growth else variants(shape)
    vocabularies = {} if options.no_memory else _VOCABULARIES
    parts = 4 + sum(map(len, growth.values())) + 2 * len(vocabularies)
    with stage(f"bench {precision}", "parts", parts) as progress:
        lvlm = build_llava(root / "model", shape, precision, device)
        found: dict[str, Any] = {"scoring": bench_scoring(lvlm, shape, options.repeats)}
        progress.update()
        found["generation"] = bench_generation(lvlm, shape, options.repeats)
        found["generation"]["texts_differing"] = texts_differing(precision, device)
        progress.update()
        found["paths"] = bench_paths(lvlm, shape, options.repeats)
        progress.update()
        for name, shapes in growth.items():
            for size, other in shapes.items():
                of_name = found.setdefault("growth", {}).setdefault(name, {})
                of_name[size] = _growth(options, precision, root, lvlm, other)
                progress.update()
        # so that the peak of training is that of its own model
        del lvlm
        adapted = build_llava(root / "model", shape, precision, device, LoRA())
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        found["train"] = bench_training(adapted, shape, options.repeats)
        if cuda:
            found["train"]["peak_bytes"] = torch.cuda.max_memory_allocated()
        progress.update()
        del adapted
        for name, size in vocabularies.items():
            peaks = dict[str, list[float]]()
            for implementation in ("shared", "plain"):
                of_child = (implementation, root / size, size, precision, options.device)
                peaks[implementation] = [peak_bytes(*of_child) for _ in range(min(3, options.repeats))]
                progress.update()
            found["scoring"][f"memory_ratio_{name}"] = ratio(peaks["shared"], peaks["plain"])
    return found


def _growth(
    options: BenchOptions, precision: Precision, root: Path, lvlm: HuggingFaceLVLM, shape: Shape
) -> dict[str, Any]:
    """Figures of a variant; images of another size need a model of their own."""
    if shape.side != SHAPES[options.shape].side:
        lvlm = build_llava(root / f"side-{shape.side}", shape, precision, torch.device(options.device))
    return bench_growth(lvlm, shape, max(1, options.repeats // 2))
