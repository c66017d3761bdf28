"""Independent streams of random numbers, each named by a seed and by what draws from it."""

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
