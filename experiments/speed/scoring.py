"""Scoring: prefix-shared against one pair at a time, plain batches, and `generate`."""

from collections.abc import Callable
from functools import partial
from typing import Any

from experiments.speed.floor import floor_seconds
from experiments.speed.models import work
from experiments.speed.plain import PlainLVLM
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
