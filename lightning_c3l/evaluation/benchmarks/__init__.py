"""Benchmarks: their files, their prompts, and the scoring of answers.

* `pope`: yes or no, in three splits.
* `seed`: four choices.
* `mmbench`: choices in every order of the options.
* `llava_w`: open questions, for a judge.
"""

from lightning_c3l.evaluation.benchmarks.base import NAMES, Benchmark, ScoredBenchmark
from lightning_c3l.evaluation.benchmarks.llava_w import LlavaW
from lightning_c3l.evaluation.benchmarks.mmbench import MMBench
from lightning_c3l.evaluation.benchmarks.pope import Pope
from lightning_c3l.evaluation.benchmarks.seed import Seed

__all__ = ["NAMES", "Benchmark", "ScoredBenchmark", "load", "load_scored"]


def load(name: str) -> Benchmark:
    """Return the benchmark of that name.

    Raises:
        ValueError: there is none.
    """
    return LlavaW() if name == LlavaW.name else load_scored(name)


def load_scored(name: str) -> ScoredBenchmark:
    """Return the benchmark of that name, whose answers can be scored without a judge.

    Raises:
        ValueError: there is none, or it needs a judge.
    """
    for benchmark in (Pope(), Seed(), MMBench()):
        if benchmark.name == name:
            return benchmark
    if name in NAMES:
        raise ValueError(f"answers to {name} can only be scored by a judge")
    raise ValueError(f"no benchmark is called {name!r}; there are {', '.join(NAMES)}")
