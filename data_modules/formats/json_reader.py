"""JSON files: a list, or one object a line. Read in constant memory, however large they are."""

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from data_modules.formats.json_window import CHUNK, LIMIT, StrictDecoder, Window
from data_modules.formats.record import Entry, Picture

# images that came with a value, each with the number in its name
Beside = tuple[tuple[int, Picture], ...]
# number, JSON value and its images; or the entry, where there is nothing to parse
Raw = tuple[int, Any, Beside] | Entry
Take = Callable[[int], bool]


def raw_records(path: Path, take: Take) -> Iterator[Raw]:
    """The file's values that `take` accepts by their number, parsed.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        yield from _listed(stream, take) if is_list(stream) else _lines(stream, take)


def count(path: Path) -> int:
    """The number of entries that `raw_records` gives."""
    with path.open("rb") as stream:
        if is_list(stream):
            return sum(1 for _ in _listed(stream, lambda number: True))
        return sum(1 for _ in _lines(stream, lambda number: False, skipped=True))


def is_list(stream: IO[bytes]) -> bool:
    """Whether the file holds a list, and not lines; the stream is back at its beginning afterwards."""
    seen = stream.read(CHUNK).removeprefix(codecs.BOM_UTF8).lstrip()
    while not seen and (more := stream.read(CHUNK)):
        seen = more.lstrip()
    stream.seek(0)
    return seen.startswith(b"[")


def _lines(stream: IO[bytes], take: Take, skipped: bool = False) -> Iterator[Raw]:
    decoder, number = StrictDecoder(), 0
    for place, line in enumerate(_bounded_lines(stream), start=1):
        if not line or line.isspace():
            continue
        number += 1
        if number == 1 and line.strip() == b"{":
            yield Entry(number, None, "neither a list nor one object a line, but an object over several lines")
            return
        if take(number):
            yield _parsed(decoder, line, number, place)
        elif skipped:
            yield number, None, ()


def _parsed(decoder: StrictDecoder, line: bytes, number: int, place: int) -> Raw:
    try:
        if len(line) > LIMIT:
            raise ValueError(f"longer than {LIMIT >> 20} MB")
        return number, decoder.whole(line.decode()), ()
    except UnicodeDecodeError as error:
        return Entry(number, None, f"line {place}: no UTF-8: {error.reason} at byte {error.start}")
    except ValueError as error:
        return Entry(number, None, f"line {place}: {error}")


def _bounded_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Lines of at most LIMIT bytes; of a longer one the beginning. Only line feeds end a line."""
    first = True
    while line := stream.readline(LIMIT + 1):
        whole = line.endswith(b"\n") or len(line) <= LIMIT
        yield line.removeprefix(codecs.BOM_UTF8) if first else line
        first = False
        while not whole and (rest := stream.readline(CHUNK)):
            whole = rest.endswith(b"\n")


def _listed(stream: IO[bytes], take: Take) -> Iterator[Raw]:
    window, number = Window(stream), 0
    try:
        window.pass_over("[")
        is_over = window.sign() == "]"
        while not is_over:
            value, odd = window.value()
            number += 1
            if odd:
                yield Entry(number, None, f"no valid JSON: {odd}")
            elif take(number):
                yield number, value, ()
            is_over = window.sign() == "]"
            if not is_over:
                window.pass_over(",")
        window.pass_over("]")
        if window.sign():
            raise ValueError(f"something follows the list at character {window.at()}")
    except RecursionError:
        yield Entry(number + 1, None, f"nested too deeply at character {window.at()}; the rest cannot be read")
    except ValueError as error:
        yield Entry(number + 1, None, f"no valid JSON: {window.bad or error}; the rest of the file cannot be read")
