"""What `score` logs to W&B, read back from its offline files with wandb's own reader."""

import json
from pathlib import Path
from typing import Any

import pytest
import wandb

from data_modules.formats import Record
from data_modules.formats.record import ImageRef, Message
from lightning_c3l.cli.score import main
from lightning_c3l.cli.scored_sample import AnswerSample
from tests.cli.test_score import lines, words, write_set
from tests.helpers.offline_wandb import exit_code_of, offline_history, offline_records, offline_summary
from tests.helpers.tiny import build_tiny


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored set, with W&B's run of it in `out.wandb`."""
    folder = tmp_path_factory.mktemp("scored")
    source = write_set(folder, 7)
    with pytest.MonkeyPatch.context() as patched:
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patched.setenv(name, str(folder / "of wandb"))
        told = ["--wandb", "team/scores", "--wandb-mode", "offline", "--wandb-artifacts"]
        assert main([*words(source, folder / "out.jsonl", build_tiny(folder / "tiny")), *told]) == 0
        wandb.teardown()
    return folder / "out.jsonl"


@pytest.fixture(scope="module")
def home(scored: Path) -> Path:
    (found,) = scored.with_suffix(".wandb").glob("wandb/offline-run-*")
    return found


def turns(out: Path) -> list[dict[str, Any]]:
    """Scores of all answers of a scored set."""
    return [turn for one in lines(out) for turn in one["c3l_scores"]]


def test_the_summary_has_counts_means_and_the_control(scored: Path, home: Path) -> None:
    summary, found = offline_summary(home), turns(scored)
    assert (summary["score/records"], summary["score/scored"], summary["score/rejected"]) == (7, len(found), 0)
    for name in ("answer", "gap", "mean_logp", "shuffled"):
        mean = sum(turn[name] for turn in found) / len(found)
        assert summary[f"score/{name}_mean"] == pytest.approx(mean)
    above = sum((one["answer"] > one["shuffled"]) + 0.5 * (one["answer"] == one["shuffled"]) for one in found)
    assert summary["score/above_shuffled"] == pytest.approx(above / len(found))
    assert exit_code_of(home) == 0


def test_each_reading_has_a_histogram(scored: Path, home: Path) -> None:
    (row,) = (row for row in offline_history(home) if "score/answer.values" in row)
    for name in ("answer", "positions", "vocabulary", "gap", "shuffled"):
        values = [turn[name] for turn in turns(scored)]
        assert sum(row[f"score/{name}.values"]) == len(values)
        bins = row[f"score/{name}.bins"]
        assert (bins[0], bins[-1]) == pytest.approx((min(values), max(values)))


def test_a_table_has_answers_from_both_ends(scored: Path, home: Path) -> None:
    artifacts = [one["artifact"] for one in offline_records(home) if one["type"] == "artifact"]
    (shown,) = (one["manifest"]["contents"] for one in artifacts if one["type"] == "run_table")
    table = json.loads(Path(shown[0]["local_path"]).read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
    best = max(turns(scored), key=lambda turn: turn["answer"])
    assert (rows[0]["shown as"], rows[0]["answer"]) == ("highest", pytest.approx(best["answer"]))
    records = lines(scored)
    for row in rows:
        conversation = records[row["record"] - 1]["conversations"]
        assert row["text"] == conversation[row["turn"]]["value"]
        assert row["question"] == conversation[row["turn"] - 1]["value"].removeprefix("<image>\n")
    # the set itself was asked for
    (files,) = (one["manifest"]["contents"] for one in artifacts if one["type"] == "scored")
    assert [one["path"] for one in files] == ["out.html", "out.jsonl", "out.meta.json"]


def test_without_a_project_nothing_of_wandb_is_written(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb, "init", lambda **_: pytest.fail("W&B was begun"))
    source = write_set(tmp_path, 1)
    assert main(words(source, tmp_path / "out.jsonl", tiny_checkpoint)) == 0
    assert not (tmp_path / "out.wandb").exists()


def test_a_failed_scoring_reaches_wandb_with_its_status(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("the disk is full")

    monkeypatch.setattr("lightning_c3l.cli.score_run.write_scored", broken)
    source = write_set(tmp_path, 1)
    told = ["--wandb", "scores", "--wandb-mode", "offline"]
    with pytest.raises(ValueError, match="the disk is full"):
        main([*words(source, tmp_path / "out.jsonl", tiny_checkpoint), *told])
    (home,) = (tmp_path / "out.wandb").glob("wandb/offline-run-*")
    assert exit_code_of(home) == 2
    # the same command goes on in the same run
    assert (tmp_path / "out.wandb" / "wandb.json").exists()


def test_a_name_that_wandb_refuses_is_said_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^--wandb must be a project, entity/project or null, not 'a:b'$"):
        main(["--model", "none", "--wandb", "a:b", str(tmp_path / "in.jsonl"), str(tmp_path / "out.jsonl")])


def offered(scores: list[float | None]) -> list[tuple[str, int]]:
    """Why and which of these answers are shown, by number, at most two of each kind."""
    sample = AnswerSample(size=2)
    for number, score in enumerate(scores):
        record = Record((ImageRef("a.png"),), (Message("user", "Why?"), Message("assistant", f"{number}")))
        sample.add(number, number, record, {"turn": 1, "answer": score})
    return [(shown_as, one.record) for shown_as, one in sample.answers()]


def test_the_highest_and_the_lowest_are_shown_once() -> None:
    shown = offered([0.5, 0.9, None, 0.1, 0.7, 0.3, 0.9])
    assert shown[:4] == [("highest", 1), ("highest", 6), ("lowest", 3), ("lowest", 5)]
    assert all(shown_as == "random" and number in (0, 4) for shown_as, number in shown[4:])
    assert offered([0.2]) == [("highest", 0)]
