"""Text and numbers to safe markup: the one place where something becomes HTML or SVG."""

import html
import math
import unicodedata
from numbers import Integral, Real

# En dash for "no figure" and the true minus sign, which is as wide as the digits.
MISSING = "\u2013"
MINUS = "\u2212"

# Longest text from outside that is shown or put into an attribute, unless the caller says otherwise.
LIMIT = 300

# Attributes that only this package writes: pictures, drawn lines, the page's policy.
_UNCUT = frozenset({"src", "d", "content"})

# Elements without content; the closing slash is needed in SVG and ignored in HTML.
_EMPTY = frozenset({"rect", "circle", "line", "path", "img", "meta"})

# Emoji and several scripts need the joiners, so these two format characters stay.
_JOINERS = frozenset("\u200c\u200d")


def _is_hidden(character: str) -> bool:
    """Whether a character is invisible, reorders its neighbours or is forbidden in XML."""
    if character in _JOINERS or character in "\n\t":
        return False
    code = ord(character)
    noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return noncharacter or unicodedata.category(character) in {"Cc", "Cf", "Cs"}


def visible(text: object, limit: int | None = None) -> str:
    """A text with nothing hidden in it, cut to `limit` characters.

    Control characters, text-direction marks and lone surrogates are spelled out as `[U+202E]`, so that they
    can neither reorder the page nor make it invalid, and the reader still sees that the model wrote them.
    """
    plain = str(text).replace("\r\n", "\n")
    if limit is not None and len(plain) > limit:
        plain = plain[:limit].rstrip() + "\u2026"
    return "".join(f"[U+{ord(one):04X}]" if _is_hidden(one) else one for one in plain)


def esc(text: object, limit: int | None = LIMIT) -> str:
    """`visible` text, escaped for the inside of an element or of a quoted attribute."""
    return html.escape(visible(text, limit), quote=True)


def element(name: str, /, *inside: str, **attributes: object) -> str:
    """One element of HTML or SVG.

    Args:
        name: name of the element.
        *inside: markup, so plain text must have gone through `esc`.
        **attributes: plain values, escaped here; None is left out, `class_` means `class`, `data_value` means
            `data-value`.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(key, value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _EMPTY:
        return f"<{name}{written}/>"
    return f"<{name}{written}>{''.join(inside)}</{name}>"


def _attribute(key: str, value: object) -> str:
    if isinstance(value, float):
        # A hundredth of a pixel is enough for a coordinate; exact figures arrive as text.
        return f"{round(value, 2):g}"
    return esc(value, None if key in _UNCUT else LIMIT)


def finite(value: object) -> float | None:
    """The value as a float, or None where it is no finite real number."""
    if not isinstance(value, Real) or isinstance(value, bool):
        return None
    try:
        real = float(value)
    except OverflowError:  # an integer of hundreds of digits, which JSON may hold
        return None
    return real if math.isfinite(real) else None


def number(value: object, digits: int = 3) -> str:
    """A number for reading, whole numbers without decimals, a dash where there is none."""
    real = finite(value)
    if real is None:
        return MISSING
    places = 0 if isinstance(value, Integral) else digits
    # Adding zero turns the -0.0 that rounding may leave into 0.0.
    return f"{round(real, places) + 0.0:,.{places}f}".replace("-", MINUS)


def exact(value: object) -> str | None:
    """The unrounded number as text for a `data-value` attribute, None where there is none."""
    real = finite(value)
    if real is None:
        return None
    return str(int(real)) if isinstance(value, Integral) else repr(real)
