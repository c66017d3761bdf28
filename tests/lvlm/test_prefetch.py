"""Items made ahead of whoever uses them."""

import threading
from collections.abc import Iterator

import pytest

from lightning_c3l.lvlm.prefetch import prefetched


def test_the_same_items_in_their_order() -> None:
    assert list(prefetched(range(100), ahead=3)) == list(range(100))
    assert list(prefetched([])) == []
    assert list(prefetched([None, None])) == [None, None]


def test_the_next_one_is_made_while_the_last_one_is_used() -> None:
    made = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    found = prefetched(items())
    assert next(found) == 1
    assert made.wait(timeout=30)
    assert list(found) == [2]


def test_no_more_than_asked_for_are_made_ahead() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    for taken, _ in enumerate(prefetched(items(), ahead=2), start=1):
        # those taken, two that wait, and the one that is being handed over
        assert len(made) <= taken + 3


def test_an_error_comes_where_its_item_would_have() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    found = prefetched(items())
    assert next(found) == 1
    with pytest.raises(OSError, match="gone"):
        next(found)


def test_leaving_early_ends_the_thread_and_closes_the_items() -> None:
    closed = threading.Event()

    def items() -> Iterator[int]:
        try:
            while True:
                yield 1
        finally:
            closed.set()

    found = prefetched(items())
    next(found)
    found.close()
    assert closed.is_set()


def test_what_cannot_be_iterated_is_an_error() -> None:
    with pytest.raises(TypeError, match="not iterable"):
        next(prefetched(5))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ahead must be at least 1"):
        next(prefetched([1], ahead=0))
