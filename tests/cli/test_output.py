"""What a command prints: warnings in a line each, little in a log file, and only results where that is asked for."""

import sys
import warnings
from pathlib import Path

import pytest

from lightning_c3l.cli.main import main
from lightning_c3l.cli.output import WARNINGS, WarningLines, readable_output
from lightning_c3l.distributed.messages import is_quiet

THEIRS = "/venv/lib/python3.12/site-packages/torch/nn/functional.py"
OURS = str(Path(sys.modules["lightning_c3l"].__path__[0]) / "rounds" / "engine.py")


def test_warnings_are_lines_without_a_path_and_name_the_package_of_others() -> None:
    lines = WarningLines()
    assert lines.format("image a.png\n is left out", UserWarning, OURS, 7) == "warning: image a.png is left out\n"
    assert lines.format("too many workers", UserWarning, THEIRS, 7) == "warning: torch: too many workers\n"
    assert lines.format("an escape \x1b[2J", UserWarning, OURS, 8) == "warning: an escape [U+001B][2J\n"


@pytest.mark.parametrize("category", [FutureWarning, DeprecationWarning, PendingDeprecationWarning])
def test_notes_to_other_packages_developers_are_left_out(category: type[Warning]) -> None:
    lines = WarningLines()
    assert lines.format("old name", category, THEIRS, 7) == ""
    assert lines.format("old name", category, OURS, 7) == "warning: old name\n"


def test_other_ranks_leave_packages_warnings_to_rank_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    lines = WarningLines()
    assert lines.format("too many workers", UserWarning, THEIRS, 7) == ""
    # of an image that only this rank has
    assert lines.format("image a.png is left out", UserWarning, OURS, 7) == "warning: image a.png is left out\n"


def test_many_warnings_of_one_place_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    lines = WarningLines()
    shown = [lines.format(f"record {number} is broken", UserWarning, OURS, 7) for number in range(1203)]
    assert "".join(shown) == "".join(f"warning: record {number} is broken\n" for number in range(3))
    assert lines.format("another place", UserWarning, OURS, 8)
    lines.tell_of_others()
    lines.tell_of_others()
    assert capsys.readouterr().err == "warning: 1,200 more like: record 0 is broken\n"


def test_the_same_words_are_shown_once() -> None:
    lines = WarningLines()
    assert lines.format("too many workers", UserWarning, THEIRS, 7)
    assert lines.format("too many workers", UserWarning, THEIRS, 9) == ""


def test_python_shows_warnings_its_own_way_afterwards_and_for_debugging(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = object()
    monkeypatch.setattr(warnings, "formatwarning", before)
    # of an earlier command of this process, which ended without a word about them
    for number in range(9):
        WARNINGS.format(f"record {number} is broken", UserWarning, OURS, 7)
    with readable_output(quiet=True):
        assert is_quiet()
        assert warnings.formatwarning != before
    assert not is_quiet()
    assert warnings.formatwarning == before
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("C3L_DEBUG", "1")
    with readable_output(quiet=False):
        assert warnings.formatwarning == before


def test_any_verb_takes_quiet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "set.json").write_text('[{"question": "a", "answer": "b"}, 7]')
    assert main(["validate-data", "--quiet", str(tmp_path / "set.json")]) == 1
    # what was asked for is shown all the same
    assert capsys.readouterr().out.splitlines()[-1].startswith("2 records")
    assert main(["--quiet", "nonsense"]) == 2
    assert main(["--quiet"]) == 0
    assert "--quiet" in capsys.readouterr().out
