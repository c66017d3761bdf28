"""Benchmarks: their files, their prompts, and what answers are worth.

* `pope`: yes or no, in three splits.
* `seed`: four choices.
* `mmbench`: choices in every order of the options.
* `llava_w`: open questions, for a judge.
"""

from lightning_c3l.evaluation.benchmarks.base import NAMES
from lightning_c3l.evaluation.benchmarks.llava_w import LlavaW
from lightning_c3l.evaluation.benchmarks.mmbench import MMBench
from lightning_c3l.evaluation.benchmarks.pope import Pope
from lightning_c3l.evaluation.benchmarks.scored import FiledBenchmark, ScoredBenchmark
from lightning_c3l.evaluation.benchmarks.seed import Seed

__all__ = ["NAMES", "FiledBenchmark", "ScoredBenchmark", "load", "scorable"]


def load(name: str) -> FiledBenchmark:
    """The benchmark of a name.

    Raises:
        ValueError: there is none.
    """
    return LlavaW() if name == LlavaW.name else scorable(name)


def scorable(name: str) -> ScoredBenchmark:
    """The benchmark of a name, whose answers can be scored without a judge.

    Raises:
        ValueError: there is none, or it needs a judge.
    """
    for benchmark in (Pope(), Seed(), MMBench()):
        if benchmark.name == name:
            return benchmark
    if name in NAMES:
        raise ValueError(f"answers to {name} are worth what a judge says of them")
    raise ValueError(f"no benchmark is called {name!r}; there are {', '.join(NAMES)}")
