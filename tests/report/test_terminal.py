"""The rounds in the terminal."""

from io import StringIO
from pathlib import Path
from typing import Any

from rich.console import Console

from lightning_c3l.report.terminal import closing, rounds_table


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


def state(number: int, held_out: float, *tripped: str) -> dict[str, Any]:
    return {"round": number, "held_out": held_out, "tripped": [*tripped], "by_image": {"a": held_out, "b": held_out}}


def closed(summary: dict[str, Any], folder: Path) -> str:
    console = Console(file=StringIO(), width=200, color_system=None)
    console.print(closing(summary, folder))
    output = console.file
    assert isinstance(output, StringIO)
    return output.getvalue()


def test_the_closing_says_whether_the_rounds_helped_and_what_to_look_at(tmp_path: Path) -> None:
    for name in ("report.html", "vlit.json"):
        (tmp_path / name).touch()
    rounds = [{"candidates": 1000, "seconds": {"generate": 40.0, "score": 8.0}}, {"candidates": 500}]
    guard = {"states": [state(0, 0.5), state(1, 0.75)], "exported": 1}
    summary = {"rounds": rounds, "guard": guard, "seconds_total": 65.4, "run": {"devices": "1 x cpu"}}
    lines = [" ".join(line.split()) for line in closed(summary, tmp_path).splitlines()]
    assert lines[0].startswith("The rounds helped: held-out criterion 0.500 \u2192 0.750")
    assert "held-out criterion 0.500 \u2192 0.750 +0.250 (95 % interval +0.250 to +0.250)" in lines
    # of 65.4 s, 48 are accounted for
    cost = "took 1 min 05 s on 1 x cpu for 1,500 candidates: "
    assert cost + "generating 40 s, measuring and exporting 17 s, scoring 8.0 s" in lines
    after = lines[lines.index("look at next:") + 1 :]
    assert after == [f"figures, curves and examples {tmp_path}/report.html", f"data set {tmp_path}/vlit.json"]


def test_broken_limits_are_told(tmp_path: Path) -> None:
    guard = {"states": [state(0, 0.5), state(1, 0.5, "parsed rate fell[/nope]\x1b[2J")], "exported": 1}
    text = closed({"guard": guard}, tmp_path)
    assert "State 1 broke a limit: parsed rate fell[/nope][U+001B][2J" in text
    assert "\x1b" not in text
    assert "broke" not in closed({"guard": {"states": [state(0, 0.5)]}}, tmp_path)
