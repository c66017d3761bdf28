"""Token values beside a scored set: read back where they still belong to their answer."""

import json
from pathlib import Path

import pytest

from data_modules.formats import Message, Record
from lightning_c3l.cli.set_tokens import read_tokens, write_tokens
from lightning_c3l.report.token_values import TokenValues

VALUES = TokenValues(("re", "d\ud800"), (-1.0, -2.0), (-3.0, -4.0))
RECORDS = {7: Record((), (Message("user", "Why?"), Message("assistant", "red\ud800")))}


def test_they_come_back(tmp_path: Path) -> None:
    write_tokens(tmp_path / "set.tokens.json", "print", {(7, 1): VALUES}, RECORDS)
    assert read_tokens(tmp_path / "set.tokens.json", RECORDS) == {(7, 1): VALUES}
    changed = {7: Record((), (Message("user", "Why?"), Message("assistant", "blue")))}
    assert read_tokens(tmp_path / "set.tokens.json", changed) == {}
    assert read_tokens(tmp_path / "set.tokens.json", {}) == {}


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
