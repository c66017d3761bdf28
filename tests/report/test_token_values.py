"""Token values: parts of one character together, and tokens that can be seen."""

import math
from dataclasses import asdict

import pytest

from lightning_c3l.report.token_values import STRONGEST, TokenValues, direction, visible


def test_parts_of_a_character_add_up() -> None:
    values = TokenValues.merged([" ", "\U0001f600", "", "", "!"], [-1.0, -2.0, -0.5, -0.25, -4.0], [-2.0] * 5)
    assert values == TokenValues((" ", "\U0001f600", "!"), (-1.0, -2.75, -4.0), (-2.0, -6.0, -2.0))
    assert [token.difference for token in values.shown()] == [1.0, 3.25, -2.0]


def test_a_mark_without_text_belongs_to_the_first_word() -> None:
    assert TokenValues.merged(["", "a"], [-1.0, -2.0], [-3.0, -4.0]) == TokenValues(("a",), (-3.0,), (-7.0,))


def test_rows_come_back_and_nothing_else_does() -> None:
    values = TokenValues(("a", " b"), (-1.0, -2.0), (-3.0, -4.5))
    row = asdict(values)
    assert TokenValues.from_row(row) == values
    for broken in (None, [], {}, {**row, "texts": ["a"]}, {**row, "logp_image": [0.0, None]}, {**row, "logp_blind": 3}):
        assert TokenValues.from_row(broken) is None


@pytest.mark.parametrize(
    ("difference", "value", "strength"),
    [
        (1.25, "+1.2", 0.31),
        (-0.5, "\u22120.5", 0.12),
        (0.0, "0.0", 0.0),
        (STRONGEST, "+4.0", 1.0),
        (-30.0, "\u221230.0", 1.0),
    ],
)
def test_colour_and_figure_of_a_token(difference: float, value: str, strength: float) -> None:
    (token,) = TokenValues(("red",), (difference - 1.0,), (-1.0,)).shown()
    assert (token.value, token.strength) == (value, strength)
    assert token.title.startswith("log p with image ")
    assert "without \u22121.00" in token.title


def test_a_long_answer_is_cut_and_says_so() -> None:
    values = TokenValues(("a",) * 500, (-1.0,) * 500, (-2.0,) * 500)
    assert len(values.shown()) + values.left_out == 500
    assert values.left_out > 0
    assert TokenValues(("a",), (-1.0,), (-2.0,)).left_out == 0


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" red", "\u2423red"),
        ("\n\t", "\u21b5\u21e5"),
        ("\u0301t", "\u25cc\u0301t"),
        ("\u202egnp", "[U+202E]gnp"),
        ("\u200d", "[U+200D]"),
        ("\U0001f469\u200d\U0001f469", "\U0001f469\u200d\U0001f469"),
        ("\ud800", "[U+D800]"),
        ("</s>", "</s>"),
        ("", ""),
    ],
)
def test_nothing_of_a_token_is_hidden(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "read"), [("red", "ltr"), ("\u0645\u0631", "rtl"), ("1 \u05d0 a", "rtl"), ("", "ltr"), ("\u732b", "ltr")]
)
def test_direction(text: str, read: str) -> None:
    assert direction(text) == read


def test_colours_stay_readable() -> None:
    """Text on the strongest colour has the contrast of WCAG AA, in both themes."""
    light, dark = ("#1b1f24", "#f5f6f8"), ("#e6e9ed", "#1d2127")
    for (ink, surface), colours in ((light, ((0, 114, 178), (213, 94, 0))), (dark, ((51, 144, 221), (240, 120, 58)))):
        for colour in colours:
            below = [0.6 * top + 0.4 * under for top, under in zip(colour, _rgb(surface), strict=True)]
            one, other = sorted((_luminance(_rgb(ink)), _luminance(below)), reverse=True)
            assert (one + 0.05) / (other + 0.05) >= 4.5


def _rgb(colour: str) -> list[float]:
    return [float(int(colour[start : start + 2], 16)) for start in (1, 3, 5)]


def _luminance(colour: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else math.pow((c + 0.055) / 1.055, 2.4) for c in (v / 255 for v in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
