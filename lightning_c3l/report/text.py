"""Texts and numbers for reading: nothing hidden in the ones, and the others rounded."""

import unicodedata
from numbers import Integral

from lightning_c3l.functional.finite import finite

# En dash for "no figure" and the true minus sign, which is as wide as the digits.
MISSING = "\u2013"
MINUS = "\u2212"

# Emoji and several scripts need the joiners, so these two format characters stay.
_JOINERS = frozenset("\u200c\u200d")


def _is_hidden(character: str) -> bool:
    """Whether a character is invisible, reorders its neighbours or is forbidden in XML."""
    if character in _JOINERS or character in "\n\t":
        return False
    code = ord(character)
    noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return noncharacter or unicodedata.category(character) in {"Cc", "Cf", "Cs"}


def printable(text: object, limit: int | None = None) -> str:
    """A text with nothing hidden in it, cut to `limit` characters.

    Control characters, text-direction marks and lone surrogates are spelled out as `[U+202E]`, so that they
    can neither reorder the page nor make it invalid, and the reader still sees that the model wrote them.
    """
    plain = str(text).replace("\r\n", "\n")
    if limit is not None and len(plain) > limit:
        plain = plain[:limit].rstrip() + "\u2026"
    return "".join(f"[U+{ord(one):04X}]" if _is_hidden(one) else one for one in plain)


def number(value: object, digits: int = 3) -> str:
    """A number for reading, whole numbers without decimals, a dash where there is none."""
    real = finite(value)
    if real is None:
        return MISSING
    decimals = 0 if isinstance(value, Integral) else digits
    # Adding zero turns the -0.0 that rounding may leave into 0.0.
    return f"{round(real, decimals) + 0.0:,.{decimals}f}".replace("-", MINUS)


def signed(value: object, digits: int = 3) -> str:
    """A number with its sign, for changes."""
    text, real = number(value, digits), finite(value)
    return f"+{text}" if real is not None and round(real, digits) > 0 else text


def duration(seconds: float) -> str:
    """A time for reading: seconds, minutes and seconds, or hours and minutes."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return "{} h {:02d} min".format(*divmod(round(seconds / 60), 60))


def exact(value: object) -> str | None:
    """The unrounded number as text for a `data-value` attribute, None where there is none."""
    real = finite(value)
    if real is None:
        return None
    return str(int(real)) if isinstance(value, Integral) else repr(real)
