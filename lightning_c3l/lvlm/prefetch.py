"""An iterator whose next item is made in a thread while the current one is in use."""

from collections.abc import Generator, Iterable
from queue import Full, Queue
from threading import Event, Thread
from typing import Any, TypeVar, cast

_T = TypeVar("_T")
_END = object()


def prefetched(items: Iterable[_T], ahead: int = 1) -> Generator[_T, None, None]:
    """Yield the same items, of which up to `ahead` are made in a thread in advance.

    An error of `items` is raised in place of its item. Closing the iterator early stops the thread, which closes
    `items`.
    """
    if ahead < 1:
        raise ValueError(f"ahead must be at least 1, not {ahead}")
    made: Queue[Any] = Queue(maxsize=ahead)
    left = Event()

    def put(item: Any) -> bool:
        while not left.is_set():
            try:
                made.put(item, timeout=0.1)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        iterator = None
        try:
            iterator = iter(items)
            for item in iterator:
                if not put((item, None)):
                    return
            put((_END, None))
        except BaseException as error:  # also KeyboardInterrupt: the consumer must not wait forever
            put((None, error))
        finally:
            if iterator is not None and hasattr(iterator, "close"):
                iterator.close()

    thread = Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item, error = made.get()
            if error is not None:
                raise error
            if item is _END:
                return
            yield cast(_T, item)
    finally:
        left.set()
        thread.join()
