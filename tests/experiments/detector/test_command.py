"""The verb from beginning to end with the shipped base of the first world: resumed, and the same again."""

import json
from pathlib import Path

import pytest

from lightning_c3l.cli.detector import main
from tests.report.dom import parse


def test_candidates_are_made_once_and_tables_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "detector"
    words = ["--world", "corners", "--images", "10", "--samples", "2", "--out", str(out)]
    assert main(words) == 0
    parts = sorted((out / "candidates").iterdir())
    assert len(parts) == 2
    results = json.loads((out / "results.json").read_text())
    levels = results["levels"]
    # ten images, four kinds
    assert levels["answers"]["count"] <= 10 * 4 * 2
    assert levels["answers"]["count"] > 40
    assert levels["answers"]["scores"]["answer"]["auroc"]["value"] > 0.8
    assert all("AUROC" in (out / name).read_text() for name in ("results.md", "auroc.svg", "report.html"))
    assert len(parse((out / "report.html").read_text()).find("table")) >= 4
    before = [part.read_bytes() for part in parts]
    parts[1].unlink()
    capsys.readouterr()
    assert main(words) == 0
    assert [part.read_bytes() for part in sorted((out / "candidates").iterdir())] == before
    assert json.loads((out / "results.json").read_text()) == results
    with pytest.raises(ValueError, match="created with samples=2, got samples=3: use samples=2 to resume"):
        main([*words[:5], "3", *words[6:]])


def test_a_world_that_is_none_is_told_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--world", "moon"])
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert "--world" in told
    assert "park" in told
