"""The whole bench: every figure from one run, medians of several rounds with their spread."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from experiments.speed.generation import bench_generation, texts_differing
from experiments.speed.memory import peak_bytes
from experiments.speed.models import build
from experiments.speed.scoring import bench_growth, bench_scoring
from experiments.speed.shapes import SHAPES, variants
from experiments.speed.timing import Spread
from experiments.speed.training import bench_training
from lightning_c3l.lvlm.huggingface import LoRA
from lightning_c3l.lvlm.huggingface.loading import Precision

_VOCABULARIES = {"32k": "small-32000", "152k": "small-152000"}


@dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
        shape: name of a shape in `SHAPES`.
        device: cpu or cuda.
        repeats: rounds of each comparison.
        growth: also measure how scoring grows with candidates, answer length and image tokens.
        memory: also measure peak memory with two vocabularies.
    """

    shape: str = "small"
    device: str = "cpu"
    repeats: int = 5
    growth: bool = True
    memory: bool = True


def run_bench(options: Options, precisions: tuple[Precision, ...]) -> dict[str, Any]:
    """Figures by precision: float32 at the top, others under their short names."""
    names = {"float32": "", "bfloat16": "bf16", "float16": "fp16"}
    found: dict[str, Any] = {"machine": _machine(options), "options": asdict(options)}
    with tempfile.TemporaryDirectory(prefix="c3l-bench-") as folder:
        for precision in precisions:
            figures = _precision(options, precision, Path(folder))
            if names[precision]:
                found[names[precision]] = figures
            else:
                found |= figures
    return found


def _precision(options: Options, precision: Precision, root: Path) -> dict[str, Any]:
    shape, device = SHAPES[options.shape], torch.device(options.device)
    sizes = sum(len(shapes) for shapes in variants(shape).values())
    steps = 3 + (sizes if options.growth else 0) + (4 if options.memory else 0)
    with tqdm(total=steps, desc=f"bench {precision}", unit="part") as bar:
        lvlm = build(root / "model", shape, precision, device)
        found: dict[str, Any] = {"scoring": _done(bar, bench_scoring(lvlm, shape, options.repeats))}
        found["generation"] = _done(bar, bench_generation(lvlm, shape, options.repeats))
        found["generation"]["texts_differing"] = texts_differing(precision, device)
        if options.growth:
            found["growth"] = {}
            for name, shapes in variants(shape).items():
                found["growth"][name] = {}
                for size, other in shapes.items():
                    changed = other.side != shape.side
                    one = build(root / f"side-{other.side}", other, precision, device) if changed else lvlm
                    found["growth"][name][size] = _done(bar, bench_growth(one, other, max(1, options.repeats // 2)))
        del lvlm
        adapted = build(root / "model", shape, precision, device, LoRA())
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        found["train"] = _done(bar, bench_training(adapted, shape, options.repeats))
        if device.type == "cuda":
            found["train"]["peak_bytes"] = torch.cuda.max_memory_allocated()
        del adapted
        if options.memory:
            for name, size in _VOCABULARIES.items():
                found["scoring"][f"memory_ratio_{name}"] = _memory(bar, options, precision, root / size, size)
    return found


def _memory(bar: "tqdm[Any]", options: Options, precision: Precision, folder: Path, shape: str) -> Spread:
    """Peak of shared scoring divided by that of the plain forward."""
    peaks: dict[str, list[int]] = {"shared": [], "plain": []}
    for way, values in peaks.items():
        for _ in range(min(3, options.repeats)):
            values.append(peak_bytes(way, folder, shape, precision, options.device))
        bar.update()
    return Spread.of([a / b for a, b in zip(peaks["shared"], peaks["plain"], strict=True)])


def _done(bar: "tqdm[Any]", figures: dict[str, Any]) -> dict[str, Any]:
    bar.update()
    return figures


def _machine(options: Options) -> dict[str, Any]:
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    return {"device": name, "threads": torch.get_num_threads(), "torch": torch.__version__}
