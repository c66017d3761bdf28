"""What each token of an answer owes to the image: log-probabilities with and without it, and how a page shows them."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

from lightning_c3l.functional.finite import finite
from lightning_c3l.report.text import number, printable

# nats a token at which the colour no longer grows: about 50 times as likely with the image as without
STRONGEST = 4.0
# tokens of an answer that a page shows
_MOST = 160
_BLANKS = {" ": "\u2423", "\n": "\u21b5", "\t": "\u21e5", "\u00a0": "\u237d", "\u3000": "\u2423"}
# characters that join or modify their neighbour and are invisible where they stand alone
_JOINERS = frozenset("\u200c\u200d")
_DOTTED_CIRCLE = "\u25cc"


@dataclass(frozen=True)
class TokenValues:
    """Log-probabilities of the tokens of an answer under one model, in nats.

    Attributes:
        texts: text of each token; joined they are the answer.
        logp_image: given the image.
        logp_blind: without it.
    """

    texts: tuple[str, ...]
    logp_image: tuple[float, ...]
    logp_blind: tuple[float, ...]

    @classmethod
    def merged(cls, texts: Sequence[str], logp_image: Sequence[float], logp_blind: Sequence[float]) -> Self:
        """The values with tokens that are parts of one character taken together: their log-probabilities add up.

        Args:
            texts: text of each token, '' where it continues a character of the token before, or begins the first one.
            logp_image: given the image.
            logp_blind: without it.
        """
        rows = list[tuple[str, float, float]]()
        for text, seen, blind in zip(texts, logp_image, logp_blind, strict=True):
            if rows and not (text and rows[-1][0]):
                before = rows[-1]
                rows[-1] = before[0] + text, before[1] + seen, before[2] + blind
            else:
                rows.append((text, seen, blind))
        return cls(tuple(row[0] for row in rows), tuple(row[1] for row in rows), tuple(row[2] for row in rows))

    @classmethod
    def from_row(cls, row: Any) -> Self | None:
        """The values of a JSON object that `dataclasses.asdict` made; None for anything else."""
        try:
            texts = tuple(map(str, row["texts"]))
            columns = [[finite(value) for value in row[name]] for name in ("logp_image", "logp_blind")]
        except (TypeError, KeyError):
            return None
        if any(len(column) != len(texts) or None in column for column in columns):
            return None
        seen, blind = (tuple(value for value in column if value is not None) for column in columns)
        return cls(texts, seen, blind)

    @property
    def left_out(self) -> int:
        """Number of tokens at the end that `shown` leaves out."""
        return max(0, len(self.texts) - _MOST)

    def shown(self) -> "list[ShownToken]":
        """The tokens as a page shows them, the first ones of a long answer."""
        rows = zip(self.texts, self.logp_image, self.logp_blind, strict=True)
        return [ShownToken(visible(text), seen, blind) for text, seen, blind in islice(rows, _MOST)]


@dataclass(frozen=True)
class ShownToken:
    """A token of a heat map."""

    text: str
    logp_image: float
    logp_blind: float

    @property
    def difference(self) -> float:
        """Log p(image) - log p(blind)."""
        return self.logp_image - self.logp_blind

    @property
    def value(self) -> str:
        """The difference with its sign."""
        text = number(self.difference, 1)
        return text if self.difference < 0 or text == "0.0" else f"+{text}"

    @property
    def strength(self) -> float:
        """Share of the full colour, 0 to 1."""
        return round(min(1.0, abs(self.difference) / STRONGEST), 2)

    @property
    def title(self) -> str:
        """The value in words, for a tool tip."""
        seen, blind, both = (number(one, 2) for one in (self.logp_image, self.logp_blind, self.difference))
        return f"log p with image {seen}, without {blind}, difference {both}"


def visible(text: str) -> str:
    """The text of a token with white space as signs, and with nothing that joins or modifies its neighbours.

    A combining mark at the beginning stands on a dotted circle, since the character that it belongs to is in another
    token; joiners and marks without a shape are spelled out.
    """
    out = "".join(_visible_character(one) for one in text)
    if out and unicodedata.category(out[0]).startswith("M"):
        out = _DOTTED_CIRCLE + out
    # what is left of a joined emoji, or of a script that needs joiners, stays as it is
    is_bare = all(one in _JOINERS for one in out)
    return "".join(f"[U+{ord(one):04X}]" for one in out) if is_bare else printable(out, 60)


def _visible_character(character: str) -> str:
    if character in _BLANKS:
        return _BLANKS[character]
    return "\u2423" if unicodedata.category(character) == "Zs" else character


def direction(text: str) -> str:
    """Direction in which a text is read, `rtl` or `ltr`, by its first letter."""
    for one in text:
        if (kind := unicodedata.bidirectional(one)) in ("L", "R", "AL"):
            return "ltr" if kind == "L" else "rtl"
    return "ltr"
