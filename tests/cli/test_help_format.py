"""How types, defaults and examples look in a help."""

from pathlib import Path
from typing import Any, Literal

import pytest

from lightning_c3l.cli.help_format import examples_text, type_name
from lightning_c3l.cli.parser import Parser
from lightning_c3l.distributed.program import STARTED_AS


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (int, "INT"),
        (float | None, "FLOAT|null"),
        (Path, "PATH"),
        (bool | int, "true|false|INT"),
        (Literal["a", "b"], "{a,b}"),
        (Literal["a", "b"] | None, "{a,b,null}"),
        (str | list[str], "TEXT|LIST"),
        (dict[str, Any] | None, "MAPPING|null"),
        (Parser | None, "CLASS|null"),
        (Any, "VALUE"),
    ],
)
def test_a_type_is_named_by_its_values(kind: Any, name: str) -> None:
    assert type_name(kind) == name


def lines(*options: tuple[str, dict[str, Any]]) -> list[str]:
    parser = Parser(prog="do")
    for name, known in options:
        parser.add_argument(name, **known)
    return parser.format_help().splitlines()


def test_an_option_has_its_type_and_its_default() -> None:
    found = lines(
        ("--count", {"type": int, "default": 3, "help": "how many."}),
        ("--name", {"type": str, "default": "", "help": "what it is called"}),
        ("--on", {"type": bool, "default": True, "help": "whether ..."}),
        ("--limit", {"type": float | None, "default": None, "help": "at most"}),
        ("--flag", {"action": "store_true", "help": "do it"}),
        ("--must", {"type": str, "required": True, "help": "needed"}),
    )
    assert found[0] == "usage:   do --must TEXT [options]"
    assert [" ".join(line.split()) for line in found[4:]] == [
        "--count INT how many (default: 3)",
        "--name TEXT what it is called (default: '')",
        "--on {true,false} whether ... (default: true)",
        "--limit FLOAT|null at most (default: null)",
        "--flag do it",
        "--must TEXT needed (required)",
    ]


def test_no_line_is_longer_than_a_hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    long = ("--long", {"type": int, "default": 1, "help": "word " * 100})
    assert 90 < max(map(len, lines(long))) <= 100
    monkeypatch.setenv("COLUMNS", "70")
    assert max(map(len, lines(long))) <= 70


def test_examples_are_written_as_the_program_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STARTED_AS, raising=False)
    assert examples_text(["c3l runs c3l", "c3l fit \\\n--x"]) == (
        "example: python -m lightning_c3l runs c3l\n         python -m lightning_c3l fit \\\n             --x\n"
    )
    monkeypatch.setenv(STARTED_AS, "c3l")
    assert examples_text(["c3l runs"]) == "example: c3l runs\n"
