"""The messages that docs/failures.md explains are messages of the code."""

import ast
import re
from functools import cache

import pytest

from tests.helpers.commandline import ROOT

PACKAGES = ("lightning_c3l", "data_modules", "callbacks", "experiments")


def messages() -> list[str]:
    """What the first column of the tables quotes."""
    rows = re.findall(r"^\| (`.*?) \| ", (ROOT / "docs" / "failures.md").read_text(), re.MULTILINE)
    return [message for row in rows for message in re.findall(r"`([^`]+(?:`[^`]*`)?)`", row) if " " in message]


@cache
def texts() -> str:
    """All texts of the code, those of f-strings with `...` for each value."""
    found = list[str]()
    for path in (path for name in PACKAGES for path in (ROOT / name).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = (one.value if isinstance(one, ast.Constant) else "..." for one in node.values)
                found.append("".join(map(str, parts)))
    return "\n".join(found)


def test_the_page_quotes_messages() -> None:
    assert len(messages()) > 40


@pytest.mark.parametrize("message", messages())
def test_a_message_is_one_of_the_code(message: str) -> None:
    """Where the page leaves something out, it writes `...`; what is left must stand in the code."""
    parts = [part.strip() for part in message.split("...")]
    assert [part for part in parts if len(part) > 3 and part not in texts()] == []
