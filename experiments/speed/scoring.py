"""Scoring: prefix-shared against one pair at a time, plain batches, `generate`, and the arithmetic floor."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from experiments.speed.models import PlainLVLM, Work, work
from experiments.speed.shapes import Shape
from experiments.speed.timing import Spread, ratio, side_by_side
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.rounds.scoring import score_pairs

# tokens of each of the two `generate` calls that scoring by generation makes
_GENERATED = 64


def bench_scoring(lvlm: HuggingFaceLVLM, shape: Shape, repeats: int) -> dict[str, Any]:
    """Ratios of seconds, and of the arithmetic floor to what was achieved."""
    load, plain = work(shape), PlainLVLM(lvlm)

    def shared() -> object:
        return score_pairs(lvlm, load.images, load.pairs)

    best = {keep: _best_batch(plain, shape, keep) for keep in (False, True)}
    ways: dict[str, Callable[[], object]] = {
        "shared": shared,
        "one by one": partial(plain.score, load, 1, False),
        "batched": partial(plain.score, load, best[False], False),
        "batched, head on answers": partial(plain.score, load, best[True], True),
        "generate": partial(plain.score_by_generate, load, _GENERATED),
    }
    seconds = side_by_side(ways, repeats)
    floors = [floor_seconds(lvlm, shape, load, shared) for _ in range(repeats)]
    return {
        "vs_one_by_one": ratio(seconds["one by one"], seconds["shared"]),
        "vs_batched": ratio(seconds["batched"], seconds["shared"]),
        "vs_batched_head_on_answers": ratio(seconds["batched, head on answers"], seconds["shared"]),
        "vs_generate": ratio(seconds["generate"], seconds["shared"]),
        "floor_share": ratio(floors, seconds["shared"]),
        "pairs_per_second": Spread.of([load.count / s for s in seconds["shared"]]),
        "best_batch": best[False],
        "best_batch_head_on_answers": best[True],
    }


def bench_growth(lvlm: HuggingFaceLVLM, shape: Shape, repeats: int) -> dict[str, Any]:
    """Pairs a second of shared and one-by-one scoring at another size."""
    load, plain = work(shape), PlainLVLM(lvlm)
    ways: dict[str, Callable[[], object]] = {
        "shared": lambda: score_pairs(lvlm, load.images, load.pairs),
        "one by one": partial(plain.score, load, 1, True),
    }
    seconds = side_by_side(ways, repeats)
    return {name: Spread.of([load.count / s for s in each]) for name, each in seconds.items()}


def _best_batch(plain: PlainLVLM, shape: Shape, keep: bool) -> int:
    """The batch size at which the plain forward scores most pairs a second."""
    load = work(shape)
    sizes = sorted({size for size in (1, 2, shape.candidates, load.count) if size <= load.count})
    seconds = side_by_side({str(size): partial(plain.score, load, size, keep) for size in sizes}, 1)
    return min(sizes, key=lambda size: min(seconds[str(size)]))


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
