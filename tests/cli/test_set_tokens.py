"""Token values beside a scored set: read back where they still belong to their answer."""

import json
from pathlib import Path

import pytest

from data_modules.formats import Message, Record
from lightning_c3l.cli.set_tokens import read_tokens, write_tokens
from lightning_c3l.report.token_values import TokenValues
from tests.helpers import markdown

VALUES = TokenValues(("re", "d\ud800"), (-1.0, -2.0), (-3.0, -4.0))
RECORDS = {7: Record((), (Message("user", "Why?"), Message("assistant", "red\ud800")))}


def test_they_come_back(tmp_path: Path) -> None:
    write_tokens(tmp_path / "set.tokens.json", "print", {(7, 1): VALUES}, RECORDS)
    assert read_tokens(tmp_path / "set.tokens.json", RECORDS) == {(7, 1): VALUES}
    changed = {7: Record((), (Message("user", "Why?"), Message("assistant", "blue")))}
    assert read_tokens(tmp_path / "set.tokens.json", changed) == {}
    assert read_tokens(tmp_path / "set.tokens.json", {}) == {}


def test_the_documentation_shows_such_a_file(tmp_path: Path) -> None:
    found_in = (one for one in markdown.blocks() if one.language == "json")
    (shown,) = (one.text for one in found_in if '"logp_blind"' in one.text)
    (tmp_path / "shown.json").write_text(shown)
    record = Record((), (Message("user", "How many?"), Message("assistant", "two rings")))
    found = read_tokens(tmp_path / "shown.json", {1: record})
    assert found == {(1, 1): TokenValues(("two", " rings"), (-0.25, -0.5), (-1.25, -0.75))}
    write_tokens(tmp_path / "written.json", "ff8081ef4fc7a78a", found, {1: record})
    assert json.loads((tmp_path / "written.json").read_text()) == json.loads(shown)


@pytest.mark.parametrize("damage", [{"turn": 5}, {"turn": "1"}, {"record": [7]}, {"tokens": None}, {"answer": 3}])
def test_a_damaged_row_is_left_out(tmp_path: Path, damage: dict[str, object]) -> None:
    path = tmp_path / "set.tokens.json"
    write_tokens(path, "print", {(7, 1): VALUES}, RECORDS)
    stored = json.loads(path.read_text())
    path.write_text(json.dumps({"answers": [{**stored["answers"][0], **damage}, 3, None]}))
    assert read_tokens(path, RECORDS) == {}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"answers": 3}'])
def test_a_damaged_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "set.tokens.json").write_text(text)
    assert read_tokens(tmp_path / "set.tokens.json", RECORDS) == {}
    assert read_tokens(tmp_path / "gone.json", RECORDS) == {}
