"""A strict JSON decoder."""

import json
from typing import Any

from lightning_c3l.functional.finite import finite

SPACE = " \t\n\r"
# Python reads no longer ones, unless told to
_MOST_DIGITS = 4300


class StrictDecoder:
    """Decodes JSON; numbers that JSON or Python cannot hold (NaN, infinities, 1e999) become null, as from Parquet."""

    def __init__(self) -> None:
        self._wrong = ""
        self._json = json.JSONDecoder(
            parse_constant=lambda name: None, parse_float=lambda text: finite(float(text)), parse_int=self._int
        )

    def decode_at(self, text: str, start: int) -> tuple[Any, int, str]:
        """Decode the value that begins at `start`.

        Returns:
            The value, where it ends, and what is wrong with it if it has an end but cannot be used.

        Raises:
            ValueError: no JSON.
            RecursionError: nested too deeply.
        """
        self._wrong = ""
        value, end = self._json.raw_decode(text, start)
        return value, end, self._wrong

    def decode(self, text: str) -> Any:
        """Decode a text that holds one value and nothing else.

        Raises:
            ValueError: one line that says what is wrong with it.
        """
        text = text.strip(SPACE)
        try:
            value, end, wrong = self.decode_at(text, 0)
        except RecursionError as error:
            raise ValueError("no valid JSON: nested too deeply") from error
        except ValueError as error:
            raise ValueError(f"no valid JSON: {error}") from error
        if wrong or end < len(text):
            raise ValueError(f"no valid JSON: {wrong or f'something follows at character {end}'}")
        return value

    def _int(self, text: str) -> int:
        if len(text) > _MOST_DIGITS:
            self._wrong = f"a number of {len(text)} digits"
            return 0
        return int(text)
