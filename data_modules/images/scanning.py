"""Which part of a set each process takes."""

from collections.abc import Sequence

from data_modules.images.sources import scan
from lightning_c3l.distributed import collectives
from lightning_c3l.records import RejectedImage
from lightning_c3l.rounds.protocols import ImageSource


def share(count: int, rank: int, world: int, worker: int = 0, workers: int = 1) -> range:
    """The part of 0 .. count - 1 of one worker of one rank.

    Ranks take neighbouring parts, and each rank's workers neighbouring parts of its own. Nothing is left out or taken
    twice, and ranks, and workers of all ranks, differ by at most one.

    Args:
        count: how many there are, in all.
        rank: number of the process, below `world`.
        world: how many such there are.
        worker: number of the process's worker, below `workers`.
        workers: how many each process has.

    Raises:
        ValueError: a number is not below its count.
    """
    if count < 0 or not 0 <= rank < world or not 0 <= worker < workers:
        raise ValueError(f"no such share: {count} items, rank {rank} of {world}, worker {worker} of {workers}")
    whole = _part(range(count), rank, world)
    return _part(whole, worker, workers)


def _part(whole: range, number: int, parts: int) -> range:
    least, more = divmod(len(whole), parts)
    start = whole.start + number * least + min(number, more)
    return range(start, start + least + (number < more))


def scan_shared(
    source: ImageSource, keys: Sequence[str], digests: dict[str, str] | None = None
) -> tuple[list[str], list[RejectedImage]]:
    """What `scan` gives, each process of a run having read its part of the images; all of them must call it.

    Args:
        source: where the images are.
        keys: the images, the same in all processes.
        digests: as for `scan`.

    Returns:
        The keys that can be read, and the others with their reasons, in every process, both in the order of `keys`.
    """
    own = share(len(keys), collectives.rank(), collectives.world())
    found = None if digests is None else dict[str, str]()
    everywhere = collectives.gather((*scan(source, keys[own.start : own.stop], found), found))
    if digests is not None:
        digests.update(pair for _, _, found in everywhere for pair in (found or {}).items())
    return [key for readable, _, _ in everywhere for key in readable], [one for _, own, _ in everywhere for one in own]
