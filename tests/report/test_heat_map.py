"""The heat map of an answer on matplotlib's axes and as HTML: every token with its value, nothing that runs."""

from html.parser import HTMLParser
from itertools import pairwise

import matplotlib
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from lightning_c3l.report.drawing import PALETTE
from lightning_c3l.report.heat_map import answer_card, plot_tokens
from lightning_c3l.report.token_values import TokenValues
from tests.helpers.scored import scored

VALUES = TokenValues(("red", " ball", "."), (-0.1, -2.0, -1.0), (-2.1, -1.0, -1.0))


def axes(width: float = 8.0):
    return Figure((width, 2)).add_subplot()


def test_each_token_has_its_text_its_value_and_its_colour() -> None:
    drawn = plot_tokens(VALUES, axes())
    texts = [text.get_text() for text in drawn.texts]
    assert texts == ["red", "+2.0", "\u2423ball", "\u22121.0", ".", "0.0"]
    more, less, _ = drawn.patches
    assert [to_hex(one.get_facecolor()) for one in (more, less)] == list(PALETTE[:2])
    # two of the four nats at which the colour is fullest, and one of them
    assert [one.get_alpha() for one in drawn.patches] == pytest.approx([0.6 * 0.5, 0.6 * 0.25, 0.0])


def test_tokens_stand_in_lines_and_do_not_overlap() -> None:
    values = TokenValues(("word",) * 40, (-1.0,) * 40, (-2.0,) * 40)
    drawn = plot_tokens(values, axes())
    boxes = sorted((round(one.get_y()), one.get_x(), one.get_x() + one.get_width()) for one in drawn.patches)
    assert len({line for line, _, _ in boxes}) > 1
    left, right = drawn.get_xlim()
    for (line, _, end), (following, start, stop) in pairwise(boxes):
        assert end <= start or following > line
        assert left <= start < stop <= right
    bottom, top = drawn.get_ylim()
    assert (top, bottom) == (0, boxes[-1][0] + 1)


def test_text_is_no_formula_and_wide_letters_are_wide() -> None:
    drawn = plot_tokens(TokenValues(("$\\bad$", "\u4f60\u597d\u4e16\u754c"), (-1.0, -1.0), (-1.0, -1.0)), axes())
    drawn.figure.canvas.draw()
    first, second = drawn.patches
    assert second.get_width() == first.get_width() + 2


def test_a_text_from_right_to_left_is_read_so() -> None:
    left, right = plot_tokens(TokenValues(("\u05d0\u05d1",), (-1.0,), (-1.0,)), axes()).get_xlim()
    assert left > right


def test_without_axes_there_is_a_new_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    before = dict(matplotlib.rcParams)
    drawn = plot_tokens(VALUES)
    assert drawn.figure.number in pyplot.get_fignums()
    assert "log p with the image" in drawn.get_title(loc="left")
    pyplot.close(drawn.figure)
    assert dict(matplotlib.rcParams) == before


class Elements(HTMLParser):
    """Tags and texts of a card."""

    def __init__(self, card: str) -> None:
        super().__init__()
        self.tags, self.texts, self.titles = set[str](), list[str](), list[str]()
        self.feed(card)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.titles += [value or "" for name, value in attrs if name == "title"]
        assert not any(name.startswith("on") for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_a_card_shows_question_tokens_and_readings() -> None:
    card = Elements(answer_card(scored(1.25, question="What is it?", answer="red ball."), VALUES))
    for shown in ("What is it?", "red", "+2.0", "\u2423ball", "\u22121.0", "1.250"):
        assert shown in card.texts
    assert "log p with image \u22120.10, without \u22122.10, difference 2.00" in card.titles


@pytest.mark.parametrize("tokens", [True, False])
def test_generated_text_is_escaped(tokens: bool) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=y>\u202e"
    values = TokenValues((evil,), (-1.0,), (-1.0,)) if tokens else None
    html = answer_card(scored(1.0, question=evil, answer=evil), values)
    assert Elements(html).tags <= {"div", "p", "b", "small", "span", "bdi"}
    assert "\u202e" not in html


def test_a_long_answer_says_what_is_left_out() -> None:
    html = answer_card(scored(1.0), TokenValues(("a",) * 170, (-1.0,) * 170, (-1.0,) * 170))
    assert "\u2026 10 more" in html
