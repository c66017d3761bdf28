"""The arithmetic floor: how long the matrix products alone would take that prefix-shared scoring needs.

The products are recorded while scoring runs, each with its shape; then each shape is timed by itself on the same
machine. What scoring takes beyond that sum is overhead: normalisation, rotary positions, softmax, masks, Python.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from experiments.speed.models import Work
from experiments.speed.shapes import Shape
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM

Product = tuple[int, int, int]


@contextmanager
def recorded_products(network: nn.Module) -> Iterator[Counter[Product]]:
    """Counts of (rows, inner, columns) of every linear layer's product that runs inside."""
    found = Counter[Product]()

    def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0]
        found[x.numel() // x.shape[-1], x.shape[-1], output.shape[-1]] += 1

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Linear)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def floor_seconds(lvlm: HuggingFaceLVLM, shape: Shape, work: Work, score: Callable[[], object]) -> float:
    """Seconds that the matrix products of one scoring run take by themselves."""
    with recorded_products(lvlm.network) as products:
        score()
    dtype, device = lvlm.model.dtype, lvlm.model.device
    seconds = sum(count * _product(product, dtype, device) for product, count in products.items())
    return seconds + _attention(shape, work, dtype, device)


def _product(product: Product, dtype: torch.dtype, device: torch.device) -> float:
    rows, inner, columns = product
    x = torch.randn(rows, inner, dtype=dtype, device=device)
    weight = torch.randn(columns, inner, dtype=dtype, device=device)
    return _seconds(lambda: nn.functional.linear(x, weight))


def _attention(shape: Shape, work: Work, dtype: torch.dtype, device: torch.device) -> float:
    """The two products of attention for every (query, key) that see each other, at the rate of a batched product.

    A prompt of P tokens has P (P + 1) / 2 such pairs, an answering suffix of L tokens behind it L P + L (L + 1) / 2.
    """
    image = (shape.side // shape.patch) ** 2
    suffix = shape.question + shape.answer + 6
    shared = image * (image + 1) / 2
    seen = len(work.images) * shared + work.count * (suffix * image + suffix * (suffix + 1) / 2)
    blind = work.count * suffix * (suffix + 1) / 2
    decoder = (seen + blind) * shape.layers * shape.width
    tower = len(work.images) * (image + 1) ** 2 * shape.vision_layers * shape.vision_width
    size = shape.width // shape.heads
    q = torch.randn(len(work.images) * shape.heads, image, size, dtype=dtype, device=device)
    k = torch.randn(len(work.images) * shape.heads, size, image, dtype=dtype, device=device)
    # multiply-adds a second of q k^T; the product with the values has the same number of them
    rate = q.shape[0] * image * image * size / _seconds(lambda: q @ k)
    return 2 * (decoder + tower) / rate


def _seconds(run: Callable[[], object], repeats: int = 7) -> float:
    run()
    times = list[float]()
    for _ in range(repeats):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        began = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
