"""The first screen: costs, facts and changes."""

from dataclasses import replace

import pytest

from lightning_c3l.report.first_screen import Change, FirstScreen
from lightning_c3l.report.headline import HeadlineFigure
from lightning_c3l.report.text import duration, signed
from tests.report.samples import NAN, summary

FIGURE = HeadlineFigure("name", "meaning", 0.25, 0.5, (-0.25, 0.75))


def test_a_change_is_drawn_beside_zero() -> None:
    change = Change.of(FIGURE)
    assert change is not None
    assert change.text == "+0.250 (95 % interval \u22120.250 to +0.750)"
    # 92 of 100 hold -0.25 to 0.75
    assert change.marks == pytest.approx({"zero": 4 + 23, "low": 4, "high": 96, "value": 4 + 46})


def test_changes_without_an_interval_or_a_side() -> None:
    assert Change.of(replace(FIGURE, interval=None)) == Change("+0.250")
    assert Change.of(replace(FIGURE, interval=(NAN, 1.0))) == Change("+0.250")
    assert Change.of(replace(FIGURE, after=0.2500001, interval=None)) == Change("no change")
    assert Change.of(replace(FIGURE, before=None)) is None
    same = Change.of(replace(FIGURE, after=0.25, interval=(0.0, 0.0)))
    assert same is not None
    assert same.marks == dict.fromkeys(("zero", "low", "high", "value"), 4)


def test_costs_are_those_of_the_summary() -> None:
    figures = {**summary(), "seconds_total": 200.0}
    first = FirstScreen.of(figures)
    # two rounds of 31.25 s and 60.5 s
    assert first.cost == "3 min 20 s on 2 GPUs for 2,400 candidates"
    assert [(one.name, one.time) for one in first.stages] == [
        ("training", "2 min 01 s"),
        ("generating", "1 min 02 s"),
        ("measuring and exporting", "16 s"),
    ]
    assert [one.share for one in first.stages] == pytest.approx([121 / 200, 62.5 / 200, 16.5 / 200])


def test_without_a_time_no_cost_is_told() -> None:
    assert FirstScreen.of({"run": {"devices": "1 x cpu"}}).cost == ""


def test_what_is_not_known_is_left_out() -> None:
    first = FirstScreen.of({})
    assert (first.cost, list(first.stages), first.facts, first.changed, list(first.figures)) == ("", [], {}, {}, [])
    changed = {"exposure.measure": False, "data.limit": None, "run.name": "x"}
    told = FirstScreen.of({"run": {"changed": changed}}).changed
    # as they are typed
    assert told == {"exposure.measure": "false", "data.limit": "null", "run.name": "x"}
    assert "rejected images" not in FirstScreen.of({"rejected_images": 0}).facts
    assert FirstScreen.of({"rejected_images": 4}).facts["rejected images"] == "4"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (75.4, "1 min 15 s"),
        (3600, "1 h 00 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_signs() -> None:
    values = (0.5, -0.5, 0.0, -0.0001, 0.0001, None)
    assert [signed(value) for value in values] == ["+0.500", "\u22120.500", "0.000", "0.000", "0.000", "\u2013"]
