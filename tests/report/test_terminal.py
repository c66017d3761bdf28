"""The rounds in the terminal."""

from io import StringIO
from typing import Any

from rich.console import Console

from lightning_c3l.report.terminal import rounds_table


def printed(summary: dict[str, Any]) -> str:
    console = Console(file=StringIO(), width=140, color_system=None)
    console.print(rounds_table(summary))
    output = console.file
    assert isinstance(output, StringIO)
    return output.getvalue()


def test_rounds_and_figures() -> None:
    rounds = [{"round": 0, "candidates": 1200, "truth_rate": 0.75}, {"round": 1, "truth_rate": 0.8125}]
    lines = [line.split() for line in printed({"name": "run", "rounds": rounds}).splitlines()]
    assert ["│", "candidates", "│", "1,200", "│", "\u2013", "│"] in lines
    assert ["│", "truth,", "all", "│", "0.750", "│", "0.812", "│"] in lines


def test_many_rounds_keep_the_first_and_the_last_within_80_columns() -> None:
    rounds = [{"round": k, "candidates": 10**6, "i2c_mean": -0.123} for k in range(30)]
    lines = printed({"rounds": rounds}).splitlines()
    assert [word for word in lines[1 + 1].replace("┃", " ").split() if word != "round"] == [
        "0",
        *map(str, range(26, 30)),
    ]
    assert max(map(len, lines)) <= 80


def test_only_known_columns_are_shown() -> None:
    text = printed({"rounds": [{"i2c_mean": 0.5, "truth_rate": None}]})
    assert "S(I²C)" in text
    assert "truth" not in text


def test_names_cannot_steer_the_terminal() -> None:
    text = printed(
        {
            "name": "[red]x[/nope]\x1b[2J",
            "rounds": [{"round": 0, **dict.fromkeys(("i2c_mean", "truth_rate"), 0.5)}],
        }
    )
    # the title may be broken over lines
    assert "[red]x[/nope][U+001B][2J" in "".join(text.split("┏")[0].split())
    assert "\x1b" not in text


def test_no_rounds() -> None:
    assert "round" in printed({})


def test_broken_limits_are_told() -> None:
    states = [{"round": 0, "tripped": []}, {"round": 1, "tripped": ["parsed rate fell[/nope]\x1b[2J"]}]
    text = printed({"rounds": [{"round": 0, "i2c_mean": 0.5}], "guard": {"states": states}})
    assert "state 1: parsed rate fell[/nope][U+001B][2J" in " ".join(text.split())
    assert "\x1b" not in text
    assert "state" not in printed({"rounds": [], "guard": {"states": states[:1]}})
