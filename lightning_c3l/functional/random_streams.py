"""Independent streams of random numbers, each named by a seed and by what draws from it.

`scenes/{world,drawing,curriculum}.py` name their streams in the same way without this helper: the hash of their sources
ties them to the shipped base LVLM. `lvlm/huggingface/drawing.py` keeps a mix of its own, on which sampled texts depend.
"""

from random import Random


def stream(*names: object) -> Random:
    """A generator of its own for whatever the names tell apart; the same names draw the same numbers everywhere.

    One name seeds the generator as it is, so that `stream(0)` is `Random(0)`. Several are joined by spaces, so that
    neighbouring seeds and different uses of one seed share nothing: `stream("images", seed, round)`.

    Args:
        names: a seed (int or str) alone, or a purpose with seeds, keys and numbers.

    Returns:
        The generator.
    """
    if len(names) == 1 and isinstance(names[0], int | str):
        return Random(names[0])
    return Random(" ".join(map(str, names)))


def combined_seed(*numbers: int, bits: int = 31) -> int:
    """A seed for torch that depends on all numbers, such as seed, epoch, batch and rank.

    Args:
        numbers: what tells the stream apart.
        bits: width of the seed.

    Returns:
        The seed in [0, 2^bits), the same in every process.
    """
    # Python salts the hashes of texts, not those of integers
    return int(hash(numbers) % (1 << bits))
