"""JSON values out of a text of any length, strictly."""

import codecs
import json
from typing import IO, Any

from lightning_c3l.functional.finite import finite

# the largest record that is read, in characters of a list and in bytes of a line
LIMIT = 64 << 20
CHUNK = 1 << 20
# Python reads no longer ones, unless told to
_MOST_DIGITS = 4300
SPACE = " \t\n\r"
# A cut-off literal or escape fails at most so many characters before the end of what was read.
_NEAR_END = 16


class StrictDecoder:
    """JSON; numbers that JSON or Python does not have (NaN, infinities, 1e999) become null, as from Parquet."""

    def __init__(self) -> None:
        self._odd = ""
        self._json = json.JSONDecoder(
            parse_constant=lambda name: None, parse_float=lambda text: finite(float(text)), parse_int=self._int
        )

    def next(self, text: str, start: int) -> tuple[Any, int, str]:
        """The value that begins at `start`, where it ends, and what is wrong with it although it has an end.

        Raises:
            ValueError: no JSON.
            RecursionError: nested too deeply.
        """
        self._odd = ""
        value, end = self._json.raw_decode(text, start)
        return value, end, self._odd

    def whole(self, text: str) -> Any:
        """The value of a text that holds nothing else.

        Raises:
            ValueError: one line that says why there is none.
        """
        text = text.strip(SPACE)
        try:
            value, end, odd = self.next(text, 0)
        except RecursionError as error:
            raise ValueError("no valid JSON: nested too deeply") from error
        except ValueError as error:
            raise ValueError(f"no valid JSON: {error}") from error
        if odd or end < len(text):
            raise ValueError(f"no valid JSON: {odd or f'something follows at character {end}'}")
        return value

    def _int(self, text: str) -> int:
        if len(text) > _MOST_DIGITS:
            self._odd = f"a number of {len(text)} digits"
            return 0
        return int(text)


class Window:
    """A part of a text that slides over it.

    Args:
        stream: the text in UTF-8.

    Attributes:
        bad: where it is no UTF-8; the text ends there.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._decoder, self._json = stream, codecs.getincrementaldecoder("utf-8-sig")(), StrictDecoder()
        self._text, self._place, self._gone, self._is_ended = "", 0, 0, False
        self.bad = ""

    def at(self) -> int:
        """Characters of the file in front of the next one."""
        return self._gone + self._place

    def sign(self) -> str:
        """The next character that is not a space, empty at the end."""
        while True:
            while self._place < len(self._text):
                if self._text[self._place] not in SPACE:
                    return self._text[self._place]
                self._place += 1
            if self._is_ended:
                return ""
            self._read_on()

    def pass_over(self, wanted: str) -> None:
        """Goes on behind a character that must come next."""
        if (found := self.sign()) != wanted:
            what = "the file ends" if not found else f"{found!r} stands"
            raise ValueError(f"{what} at character {self.at()}, where {wanted!r} was expected")
        self._place += 1

    def value(self) -> tuple[Any, str]:
        """The next value, and what is wrong with it."""
        self.sign()
        while True:
            try:
                value, end, odd = self._json.next(self._text, self._place)
            except json.JSONDecodeError as error:
                if self._is_ended or not self._may_be_cut(error):
                    raise ValueError(f"{error.msg} at character {self._gone + error.pos}") from error
            else:
                # a number may go on behind the end of what was read
                if end < len(self._text) or self._is_ended or isinstance(value, (dict, list, str)):
                    self._place = end
                    return value, odd
            if len(self._text) - self._place > LIMIT:
                raise ValueError(f"the value at character {self.at()} is longer than {LIMIT >> 20} million characters")
            self._read_on()

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - _NEAR_END

    def _read_on(self) -> None:
        rest = self._text[self._place :]
        # twice as much each time, so that a long value is not parsed from its beginning too often
        data = self._stream.read(max(CHUNK, len(rest)))
        self._is_ended = not data
        self._gone += self._place
        self._text, self._place = rest + self._decoded(data), 0

    def _decoded(self, data: bytes) -> str:
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            self._is_ended, self.bad = True, f"no UTF-8 ({error.reason}) after character {self._gone}"
            return error.object[: error.start].decode().removeprefix("\ufeff" if not self._gone else "")
