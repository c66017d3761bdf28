"""Benchmarks: their files, their prompts, and the scoring of answers.

* `pope`: yes or no, in three splits.
* `seed`: four choices.
* `mmbench`: choices in every order of the options.
* `llava_w`: open questions, for a judge.
"""

from typing import cast

from lightning_c3l import extensions
from lightning_c3l.evaluation.benchmarks.base import Benchmark, ScoredBenchmark
from lightning_c3l.evaluation.benchmarks.llava_w import LlavaW
from lightning_c3l.evaluation.benchmarks.mmbench import MMBench
from lightning_c3l.evaluation.benchmarks.pope import Pope
from lightning_c3l.evaluation.benchmarks.seed import Seed

__all__ = ["NAMES", "Benchmark", "ScoredBenchmark", "choose", "load", "load_scored"]

_OURS: dict[str, Benchmark] = {one.name: one for one in (Pope(), Seed(), MMBench(), LlavaW())}
# names of the benchmarks, as commands and experiment files know them
NAMES = tuple(_OURS)


def choose(option: str, name: str) -> Benchmark:
    """The benchmark that an option names: one of ours, or a `ScoredBenchmark` of the user's own by its dotted path.

    Args:
        option: that names it, for errors.
        name: such as `pope` or `my_bench.Traffic`.

    Raises:
        ValueError: there is none, or it cannot be made; says which option and why.
    """
    found = extensions.choose(option, name, _OURS, "benchmark", extensions.derives_from(ScoredBenchmark))
    if name in _OURS:
        return load(name)
    try:
        benchmark: ScoredBenchmark = found()
    except TypeError as error:
        raise ValueError(
            extensions.misfit(option, name, "benchmark", f"it must take no options, but: {error}")
        ) from error
    own = getattr(benchmark, "name", "")
    if own in NAMES or not str(own).isidentifier() or not getattr(benchmark, "protocols", ()):
        needs = "it needs a `name` in letters that no other benchmark has, and `protocols`"
        raise ValueError(extensions.misfit(option, name, "benchmark", needs))
    return benchmark


def load(benchmark: str | Benchmark) -> Benchmark:
    """Return the benchmark of ours with that name, or itself.

    Raises:
        ValueError: there is none.
    """
    if not isinstance(benchmark, str):
        return benchmark
    if benchmark not in _OURS:
        raise ValueError(f"no benchmark is called {benchmark!r}; there are {', '.join(NAMES)}")
    return _OURS[benchmark]


def load_scored(benchmark: str | Benchmark) -> ScoredBenchmark:
    """Return the benchmark of ours with that name, or itself, if its answers can be scored without a judge.

    Raises:
        ValueError: there is none, or it needs a judge.
    """
    found = load(benchmark)
    if ScoredBenchmark not in type(found).__mro__:
        raise ValueError(f"answers to {found.name} can only be scored by a judge")
    return cast(ScoredBenchmark, found)
