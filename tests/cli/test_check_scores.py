"""`check-scores` on sets whose areas are known by hand."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from lightning_c3l.cli.check_scores import main


def record(question: str, verdict: str | None, **readings: float) -> dict[str, Any]:
    scores = {"answer": 0.0, "positions": 0.0, "vocabulary": 0.0, "gap": 0.0, "mean_logp": 0.0, **readings}
    turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": "x"}]
    one = {"image": "a.png", "conversations": turns, "verdict": verdict}
    return {**one, "c3l_scores": [{"turn": 1, "status": "scored", "tokens": 1, **scores}]}


def write(folder: Path, records: list[dict[str, Any]]) -> Path:
    (folder / "set.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    return folder / "set.jsonl"


def test_areas_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(
        tmp_path,
        [
            record("Is it?", "right", answer=3.0, gap=1.0),
            record("Is it?", "right", answer=1.0, gap=1.0),
            record("Is it?", "wrong", answer=2.0, gap=0.0),
            record("What color is it?", "wrong", answer=0.0, gap=0.5),
            record("What color is it?", "right", answer=5.0, gap=-1.0),
            record("Is it?", "unanswerable", answer=9.0),
            record("Is it?", None, answer=9.0),
        ],
    )
    assert main([str(source), "--at-least", "0.8"]) == 0
    found = json.loads((tmp_path / "set.check.json").read_text())
    # 3, 1 and 5 against 2 and 0: five of six pairs in order
    assert found["all"]["answer"]["auroc"] == pytest.approx(5 / 6)
    assert (found["all"]["answer"]["right"], found["all"]["answer"]["wrong"]) == (3, 2)
    assert found["all"]["positions"]["auroc"] == pytest.approx(0.5)
    assert found["yes_no"]["answer"]["auroc"] == pytest.approx(0.5)
    assert found["color"]["answer"]["auroc"] == 1.0
    assert found["color"]["gap"]["auroc"] == 0.0
    assert (tmp_path / "set.check.svg").read_text().startswith("<svg")
    printed = capsys.readouterr().out
    assert "yes_no" in printed
    assert "how the readings rank 5 answers" in printed
    # ranks of answer 4 2 3 1 5, of gap 4.5 4.5 2 3 1: d^2 = 0.25 + 6.25 + 1 + 4 + 16, and one tie
    centred = 2 * [1.5] + [-1, 0, -2]
    expected = sum(a * b for a, b in zip([1, -1, 0, -2, 2], centred, strict=True)) / (10 * 9.5) ** 0.5
    assert found["ranks"]["correlation"]["answer"]["gap"] == pytest.approx(expected)


def test_a_bar_that_is_missed_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path, [record("Is it?", "right", answer=0.0), record("Is it?", "wrong", answer=1.0)])
    assert main([str(source), "--at-least", "0.9"]) == 1
    assert "answer reaches 0.000, less than 0.9" in capsys.readouterr().out


def test_a_set_without_labels_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, [record("Is it?", "right"), record("Is it?", "right")])
    with pytest.raises(ValueError, match=r"set\.jsonl: needs right and wrong .* has 2 and 0: give .*'verdict'"):
        main([str(source)])


def test_a_set_without_scores_is_refused(tmp_path: Path) -> None:
    records = [record("Is it?", verdict) for verdict in ("right", "wrong")]
    source = write(tmp_path, [{name: one[name] for name in one if name != "c3l_scores"} for one in records])
    with pytest.raises(ValueError, match=r"set\.jsonl: .* has 0 and 0: .* and run `score` on the set"):
        main([str(source)])


def test_intervals_are_shown_and_kinds_without_a_score_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apart = [record("Is it?", "right", answer=2.0 + n, gap=-n) for n in range(3)]
    apart += [record("Is it?", "wrong", answer=1.0 - n, gap=1.0 + n) for n in range(3)]
    unread = {**record("What color is it?", "right"), "c3l_scores": [{"turn": 1, "status": "rejected"}]}
    assert main([str(write(tmp_path, [*apart, unread]))]) == 0
    rows = [re.findall(r"[\w.]+", line) for line in capsys.readouterr().out.splitlines()]
    # whatever is drawn, `answer` has all right records above all wrong ones, `gap` below them
    for name in ("all", "from", "to"):
        assert next(row[1:5] for row in rows if row[:1] == [name]) == ["1.000", "0.500", "0.500", "0.000"]
    assert ["yes_no", "1.000", "0.500", "0.500", "0.000", "0.500", "3", "3"] in rows
    assert not any("color" in row for row in rows)
    assert "color" not in json.loads((tmp_path / "set.check.json").read_text())


def test_labels_of_other_names(tmp_path: Path) -> None:
    records = [{**record("Is it?", None, answer=float(n)), "ok": n > 0} for n in range(3)]
    assert main([str(write(tmp_path, records)), "--label", "ok", "--right", "True", "--wrong", "False"]) == 0
    assert json.loads((tmp_path / "set.check.json").read_text())["all"]["answer"]["auroc"] == 1.0
