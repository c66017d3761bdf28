"""Names of the benchmarks' figures, as logs, experiment files and reports refer to them."""

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
