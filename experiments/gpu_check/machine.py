"""The machine, and the rate of its matrix products."""

import platform
from typing import Any

import torch
import transformers

from experiments.gpu_check.arithmetic import nominal_peak
from experiments.gpu_check.checks import Outcome, Setting
from experiments.speed.timing import side_by_side

# rows of the square matrices, and products in a timing
_GPU_SIZE, _CPU_SIZE, _PRODUCTS = 8192, 512, 10


def check_machine(setting: Setting) -> Outcome:
    """Name, memory and versions, and the rate of products in both precisions."""
    figures: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": device_name(setting.device),
        "product_tflops": {
            name: product_rate(setting.device, getattr(torch, name)) / 1e12 for name in ("float32", "bfloat16")
        },
    }
    problems = []
    if setting.on_gpu:
        free, total = torch.cuda.mem_get_info()
        figures |= {"memory_gib": total / 2**30, "free_gib": free / 2**30, "cuda": torch.version.cuda}
        if free < 0.9 * total:
            problems.append(f"another program uses the GPU: {free / 2**30:.0f} of {total / 2**30:.0f} GiB are free")
    rates = ", ".join(f"{name} {rate:.3g}" for name, rate in figures["product_tflops"].items())
    return Outcome(f"{figures['device']}, products in TFLOP/s: {rates}", problems, figures)


def device_name(device: str) -> str:
    """Name of the GPU, or CPU."""
    return torch.cuda.get_device_name() if device == "cuda" else "CPU"


def product_rate(device: str, dtype: torch.dtype) -> float:
    """Operations per second of a large matrix product, the best of several timings."""
    size = _GPU_SIZE if device == "cuda" else _CPU_SIZE
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(_PRODUCTS):
            a @ b

    return _PRODUCTS * 2 * size**3 / min(side_by_side({"": multiply}, 3)[""])


def peak(device: str) -> tuple[float, str]:
    """Operations per second that shares refer to, in bfloat16, and where the number comes from."""
    name = device_name(device)
    if (nominal := nominal_peak(name)) is not None:
        return nominal, f"{nominal / 1e12:.0f} TFLOP/s, {name}'s dense bfloat16 products by its data sheet"
    measured = product_rate(device, torch.bfloat16)
    return measured, f"{measured / 1e12:.3g} TFLOP/s, the rate of a bfloat16 product measured on this {name}"
