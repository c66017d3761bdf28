"""Scoring: prefix-shared against one pair at a time, plain batches, `generate`, and the arithmetic floor."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from experiments.speed.models import PlainLVLM, Workload
from experiments.speed.shapes import Shape
from experiments.speed.timing import ratio, side_by_side, spread
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.rounds.scoring import score_pairs

# tokens of each of the two `generate` calls that scoring by generation makes
_GENERATED = 64
# timings of each matrix product
_FLOOR_REPEATS = 7


def bench_scoring(lvlm: HuggingFaceLVLM, shape: Shape, repeats: int) -> dict[str, Any]:
    """Compare seconds of scoring the same pairs.

    Args:
        lvlm: scores them.
        shape: sizes of the texts.
        repeats: of each implementation.

    Returns:
        Ratios of seconds to those of prefix-shared scoring, the share of the arithmetic floor in the latter, pairs per
        second, and the batch sizes at which the plain forward is fastest.
    """
    load, plain = Workload.random(shape), PlainLVLM(lvlm)
    shared = partial(score_pairs, lvlm, load.images, load.pairs)
    sizes = sorted({size for size in (1, 2, shape.candidates, load.count) if size <= load.count})
    best = dict[bool, int]()
    for head_on_answers in (False, True):
        seconds_of_size = side_by_side({size: partial(plain.score, load, size, head_on_answers) for size in sizes}, 1)
        best[head_on_answers] = min(seconds_of_size, key=seconds_of_size.__getitem__)
    implementations: dict[str, Callable[[], object]] = {
        "shared": shared,
        "one_by_one": partial(plain.score, load, 1, False),
        "batched": partial(plain.score, load, best[False], False),
        "batched_head_on_answers": partial(plain.score, load, best[True], True),
        "generate": partial(plain.score_by_generate, load, _GENERATED),
    }
    seconds = side_by_side(implementations, repeats)
    floors = [floor_seconds(lvlm, shape, load, shared) for _ in range(repeats)]
    return {
        **{f"vs_{name}": ratio(seconds[name], seconds["shared"]) for name in implementations if name != "shared"},
        "floor_share": ratio(floors, seconds["shared"]),
        "pairs_per_second": spread([load.count / s for s in seconds["shared"]]),
        "best_batch": best[False],
        "best_batch_head_on_answers": best[True],
    }


def bench_growth(lvlm: HuggingFaceLVLM, shape: Shape, repeats: int) -> dict[str, Any]:
    """Pairs per second of shared and one-by-one scoring at another size; see `bench_scoring`."""
    load, plain = Workload.random(shape), PlainLVLM(lvlm)
    implementations: dict[str, Callable[[], object]] = {
        "shared": partial(score_pairs, lvlm, load.images, load.pairs),
        "one by one": partial(plain.score, load, 1, True),
    }
    seconds = side_by_side(implementations, repeats)
    return {name: spread([load.count / s for s in each]) for name, each in seconds.items()}


def floor_seconds(lvlm: HuggingFaceLVLM, shape: Shape, load: Workload, score: Callable[[], object]) -> float:
    """Seconds that the matrix products of one scoring run take by themselves: each shape of them is timed alone.

    What scoring takes beyond that is overhead: normalisation, rotary positions, softmax, masks, Python. Products of
    attention are counted for every (query, key) pair that is not masked and timed at the rate of a batched product: a
    prefix of P tokens has P (P + 1) / 2 pairs, a suffix of L tokens behind it L P + L (L + 1) / 2.

    Args:
        lvlm: runs the products of its linear layers.
        shape: its sizes.
        load: what is scored.
        score: scores it.
    """
    with recorded_products(lvlm.network) as products:
        score()
    on: Any = {"dtype": lvlm.model.dtype, "device": lvlm.model.device}
    linear = 0.0
    for (rows, inner, columns), count in products.items():
        x, weight = torch.randn(rows, inner, **on), torch.randn(columns, inner, **on)
        linear += count * _median_seconds(partial(nn.functional.linear, x, weight))

    prefix = (shape.side // shape.patch) ** 2
    suffix = shape.question + shape.answer + 6
    alone = suffix * (suffix + 1) / 2
    with_image = len(load.images) * prefix * (prefix + 1) / 2 + load.count * (suffix * prefix + alone)
    decoder = (with_image + load.count * alone) * shape.layers * shape.width
    tower = len(load.images) * (prefix + 1) ** 2 * shape.vision_layers * shape.vision_width
    batch, size = len(load.images) * shape.heads, shape.width // shape.heads
    q, k = torch.randn(batch, prefix, size, **on), torch.randn(batch, size, prefix, **on)
    # multiply-adds per second of q k^T; the product with the values has the same number of them
    rate = batch * prefix * prefix * size / _median_seconds(lambda: q @ k)
    return linear + 2 * (decoder + tower) / rate


def _median_seconds(run: Callable[[], object]) -> float:
    return spread(side_by_side({"": run}, _FLOOR_REPEATS)[""])["median"]


@contextmanager
def recorded_products(network: nn.Module) -> Iterator[Counter[tuple[int, int, int]]]:
    """Counts of (rows, inner, columns) of every linear layer's product that runs inside."""
    found = Counter[tuple[int, int, int]]()

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        x = inputs[0]
        found[x.numel() // x.shape[-1], x.shape[-1], output.shape[-1]] += 1

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Linear)]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
