"""Names of the benchmarks' figures, as logs, experiment files and reports refer to them, and their metrics."""

from collections.abc import Iterable

from torchmetrics import Metric

from lightning_c3l.benchmarks import scorable
from lightning_c3l.benchmarks.scored import Pair
from lightning_c3l.metrics.relative import RelativeScore

POPE_F1 = "test/pope_f1"
SEED_ACCURACY = "test/seed_accuracy"
MMBENCH_CIRCULAR = "test/mmbench_circular"
LLAVA_W_SCORE = "test/llava_w_score"

_HEADLINES = {
    "pope": POPE_F1,
    "seed": SEED_ACCURACY,
    "mmbench": MMBENCH_CIRCULAR,
    "llava_w": LLAVA_W_SCORE,
}
# protocols that bear the plain name; of the others the protocol's name is part
_PLAIN = ("reference", "rank", "circular")


def headline_name(name: str, protocol: str) -> str:
    """Name of a benchmark's headline figure by a protocol, such as `test/pope_f1` or `test/pope_f1_strict`."""
    return _HEADLINES[name] if protocol in _PLAIN else f"{_HEADLINES[name]}_{protocol}"


def headline_metric(name: str, protocol: str) -> Metric:
    """The headline as a metric: feed each rank's share by `update_headline`, or of llava_w the judge's marks."""
    return RelativeScore() if name == "llava_w" else scorable(name).metric(protocol)


def update_headline(metric: Metric, name: str, protocol: str, pairs: Iterable[Pair]) -> None:
    """Add questions with their answers to a metric of `headline_metric`; not for llava_w, which needs a judge.

    Raises:
        ValueError: the benchmark needs a judge.
    """
    scorable(name).update(metric, pairs, protocol)
