"""JSON files: a list, or one object a line. Read in constant memory, however large they are."""

import codecs
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from data_modules.formats.dialects import parse_entry
from data_modules.formats.own_dialect import Rewrite
from data_modules.formats.record import Entry, Take
from data_modules.formats.strict_json import SPACE, StrictDecoder

# the largest record that is read, in characters of a list and in bytes of a line
LIMIT = 64 << 20
CHUNK = 1 << 20
# A cut-off literal or escape fails at most so many characters before the end of what was read.
_NEAR_END = 16


class JsonReader:
    """Reads a file that holds a list or lines, whatever its name says.

    Args:
        path: the file.
        rewrite: rewrites records of a dialect of the user's own.
    """

    def __init__(self, path: Path, rewrite: Rewrite | None = None) -> None:
        self.files, self.container = [path], path.suffix.lower()[1:]
        self._rewrite = rewrite

    def entries(self, take: Take) -> Iterator[Entry | None]:
        """All entries, None for those that are not wanted, which are not parsed.

        Raises:
            OSError: the file cannot be read.
        """
        with self.files[0].open("rb") as stream:
            head = stream.read(CHUNK).removeprefix(codecs.BOM_UTF8).lstrip()
            while not head and (more := stream.read(CHUNK)):
                head = more.lstrip()
            stream.seek(0)
            yield from (_list_entries if head.startswith(b"[") else _line_entries)(stream, take, self._rewrite)

    def count(self) -> int:
        """The number of entries."""
        return sum(1 for _ in self.entries(lambda number: False))


def _line_entries(stream: IO[bytes], take: Take, rewrite: Rewrite | None) -> Iterator[Entry | None]:
    decoder, number, line_number = StrictDecoder(), 0, 0
    while line := stream.readline(LIMIT + 1):
        line_number += 1
        is_whole = line.endswith(b"\n") or len(line) <= LIMIT
        while not is_whole and (rest := stream.readline(CHUNK)):
            is_whole = rest.endswith(b"\n")
        if line_number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if not line or line.isspace():
            continue
        number += 1
        if number == 1 and line.strip() == b"{":
            yield Entry(number, None, "neither a list nor one object a line, but an object over several lines")
            return
        if not take(number):
            yield None
            continue
        try:
            if len(line) > LIMIT:
                raise ValueError(f"longer than {LIMIT >> 20} MB")
            value = decoder.decode(line.decode())
        except UnicodeDecodeError as error:
            yield Entry(number, None, f"line {line_number}: no UTF-8: {error.reason} at byte {error.start}")
        except ValueError as error:
            yield Entry(number, None, f"line {line_number}: {error}")
        else:
            yield parse_entry(number, value, rewrite=rewrite)


def _list_entries(stream: IO[bytes], take: Take, rewrite: Rewrite | None) -> Iterator[Entry | None]:
    window, number = _Window(stream), 0
    try:
        window.expect("[")
        is_over = window.peek() == "]"
        while not is_over:
            value, wrong = window.value()
            number += 1
            if wrong:
                yield Entry(number, None, f"no valid JSON: {wrong}")
            else:
                yield parse_entry(number, value, rewrite=rewrite) if take(number) else None
            is_over = window.peek() == "]"
            if not is_over:
                window.expect(",")
        window.expect("]")
        if window.peek():
            raise ValueError(f"something follows the list at character {window.offset()}")
    except RecursionError:
        yield Entry(number + 1, None, f"nested too deeply at character {window.offset()}; the rest cannot be read")
    except ValueError as error:
        reason = window.not_utf8 or error
        yield Entry(number + 1, None, f"no valid JSON: {reason}; the rest of the file cannot be read")


class _Window:
    """A part of a JSON text that slides over it.

    Attributes:
        not_utf8: where the text is no UTF-8; it ends there.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._utf8, self._json = stream, codecs.getincrementaldecoder("utf-8-sig")(), StrictDecoder()
        self._text, self._index, self._passed, self._is_last = "", 0, 0, False
        self.not_utf8 = ""

    def offset(self) -> int:
        """Offset of the next character in the file, in characters."""
        return self._passed + self._index

    def peek(self) -> str:
        """The next character that is no white space, empty at the end."""
        while True:
            while self._index < len(self._text):
                if self._text[self._index] not in SPACE:
                    return self._text[self._index]
                self._index += 1
            if self._is_last:
                return ""
            self._read()

    def expect(self, wanted: str) -> None:
        """Pass over a character that must come next."""
        if (found := self.peek()) != wanted:
            what = f"{found!r} stands" if found else "the file ends"
            raise ValueError(f"{what} at character {self.offset()}, where {wanted!r} was expected")
        self._index += 1

    def value(self) -> tuple[Any, str]:
        """The next value, and what is wrong with it."""
        self.peek()
        while True:
            try:
                value, end, wrong = self._json.decode_at(self._text, self._index)
            except json.JSONDecodeError as error:
                # a literal, an escape or a string may be cut at the end of what was read
                may_be_cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _NEAR_END
                if self._is_last or not may_be_cut:
                    raise ValueError(f"{error.msg} at character {self._passed + error.pos}") from error
            else:
                # and a number may go on behind it
                if end < len(self._text) or self._is_last or isinstance(value, (dict, list, str)):
                    self._index = end
                    return value, wrong
            if len(self._text) - self._index > LIMIT:
                limit = f"{LIMIT >> 20} million characters"
                raise ValueError(f"the value at character {self.offset()} is longer than {limit}")
            self._read()

    def _read(self) -> None:
        rest = self._text[self._index :]
        # twice as much each time, so that a long value is not parsed from its beginning too often
        data = self._stream.read(max(CHUNK, len(rest)))
        self._is_last = not data
        self._passed += self._index
        try:
            text = self._utf8.decode(data, final=not data)
        except UnicodeDecodeError as error:
            self._is_last, self.not_utf8 = True, f"no UTF-8 ({error.reason}) after character {self._passed}"
            text = error.object[: error.start].decode().removeprefix("\ufeff" if not self._passed else "")
        self._text, self._index = rest + text, 0
