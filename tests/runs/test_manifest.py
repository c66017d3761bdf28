"""What records were made with is compared before more are made."""

import json
from pathlib import Path

import pytest

from lightning_c3l.runs.manifest import UNKNOWN, begin, read


def test_the_first_start_writes_it_and_others_must_say_the_same(tmp_path: Path) -> None:
    path = tmp_path / "round" / "manifest.json"
    begin(path, {"model": "a", "seed": 0, "code": "1"}, "--again", notes=("code", "counts"))
    assert json.loads(path.read_text()) == {"model": "a", "seed": 0, "code": "1"}
    path.write_text(json.dumps({**read(path), "counts": 7}))
    begin(path, {"model": "a", "seed": 0, "code": "2"}, "--again", notes=("code", "counts"))
    assert read(path)["code"] == "1"
    with pytest.raises(ValueError, match=r"round: created with seed=0, got seed=1: .*--again to start over"):
        begin(path, {"model": "a", "seed": 1}, "--again", notes=("code", "counts"))
    with pytest.raises(ValueError, match=r"created with seed=0, got seed=None"):
        begin(path, {"model": "a"}, "--again", notes=("code", "counts"))
    with pytest.raises(ValueError, match=r"created with counts=7, got counts=None"):
        begin(path, {"model": "a", "seed": 0}, "--again", notes=("code",))


def test_what_is_unknown_agrees_with_all(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    begin(path, {"model": "a", "dtype": "float32"}, "--again")
    begin(path, {"model": "a", "dtype": UNKNOWN}, "--again")
    with pytest.raises(ValueError, match="created with dtype='float32', got dtype='bfloat16'"):
        begin(path, {"model": "a", "dtype": "bfloat16"}, "--again")
    assert read(path)["dtype"] == "float32"


@pytest.mark.parametrize("content", ['{"half', "[1, 2]", ""])
def test_a_damaged_one_is_named_with_what_to_do(tmp_path: Path, content: str) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"manifest\.json: is damaged .*; --again to start over"):
        begin(path, {"model": "a"}, "--again")
