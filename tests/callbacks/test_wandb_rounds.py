"""Everything that a run logs to W&B, read back from its offline files with wandb's own reader."""

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml
from PIL import Image

from callbacks.wandb_rounds import candidates_table
from lightning_c3l.cli.main import main
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate, Scores
from lightning_c3l.report.candidate_columns import CandidateColumns
from tests.helpers.offline_wandb import offline_records

ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789" * 4
WORDS = ["fit", "--config", str(ROOT / "experiments" / "demo_corners.yaml"), "--trainer.log_every_n_steps", "1"]
WORDS += ["--trainer.enable_progress_bar", "false", "--exposure.measure", "false", "--exposure.control", "false"]
WORDS += ["--data.images", "scenes:count=6,follow=0.2,seed=1,hide=true", "--data.fresh", "scenes:count=4,seed=2"]
WORDS += ["--data.held_out", "scenes:count=4,follow=0.0,seed=3", "--guard.images", "4", "--run.wandb_mode", "offline"]


@dataclass
class Logged:
    """A run of two rounds that was resumed for a third, and the records of both offline files."""

    folder: Path
    pieces: list[list[dict[str, Any]]]

    def records(self, kind: str, piece: int = 0) -> list[dict[str, Any]]:
        return [one[kind] for one in self.pieces[piece] if one["type"] == kind]

    def history(self, piece: int = 0) -> list[dict[str, Any]]:
        return [one["item"] for one in self.records("history", piece)]

    def summary(self, piece: int = 0) -> dict[str, Any]:
        merged = dict[str, Any]()
        for one in self.records("summary", piece):
            merged |= one.get("update", {})
        return merged

    def rows(self, number: int) -> list[dict[str, Any]]:
        """Candidates of a round as the run folder has them."""
        file = self.folder / "rounds" / str(number) / "candidates-00000.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Logged:
    work = tmp_path_factory.mktemp("wandb")
    folder = work / "runs" / "seen" / "version_0"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("WANDB_API_KEY", KEY)
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patched.setenv(name, str(work / "of wandb"))
        wandb.teardown()
        words = [*WORDS, "--run.root", str(work / "runs"), "--run.name", "seen"]
        assert main([*words, "--trainer.max_epochs", "2"]) == 0
        assert main([*words, "--trainer.max_epochs", "3", "--ckpt_path", "last"]) == 0
        wandb.teardown()
    return Logged(folder, [offline_records(home) for home in sorted(folder.glob("wandb/offline-run-*"))])


def test_the_whole_configuration_is_there_nested_as_in_config_yaml(logged: Logged) -> None:
    config = {k: v for k, v in logged.records("run", 1)[0]["config"]["update"].items() if k != "_wandb"}
    written = yaml.safe_load((logged.folder / "config.yaml").read_text(encoding="utf-8"))
    # said for one start only
    assert Path(config.pop("ckpt_path")).name == "last.ckpt"
    assert written.pop("ckpt_path") is None
    assert config == written
    assert config["model"]["init_args"]["lvlm"]["init_args"]["lora"]["rank"] == 16


def test_the_name_tells_what_was_changed(logged: Logged) -> None:
    assert logged.records("run")[0]["display_name"].startswith("seen/0 log_every_n_steps=1, ")


def test_rounds_are_drawn_over_the_round_and_training_over_its_steps(logged: Logged) -> None:
    metrics = {one.get("glob_name") or one["name"]: one for one in logged.records("metric")}
    assert metrics["round/*"]["step_metric"] == "round"
    assert metrics["candidates"]["step_metric"] == "round"
    assert metrics["train/loss"]["step_metric"] == "trainer/global_step"
    losses = [row for row in logged.history() if "train/loss" in row]
    assert [row["trainer/global_step"] for row in losses] == list(range(len(losses)))


def test_each_round_has_all_its_numbers(logged: Logged) -> None:
    rows = {row["round"]: row for row in logged.history() if "round/candidates" in row}
    states = {one["round"]: one for one in json.loads((logged.folder / "summary.json").read_text())["guard"]["states"]}
    assert set(rows) == {0, 1}
    for number, row in rows.items():
        figures = json.loads((logged.folder / "rounds" / str(number) / "round.json").read_text(encoding="utf-8"))
        numbers = {name: value for name, value in figures.items() if isinstance(value, float | int)}
        assert {name: row[f"round/{name}"] for name in numbers} == pytest.approx(numbers)
        assert row["round/kind_color"] == pytest.approx(figures["kind_shares"]["color"])
        assert row["round/seconds_generate"] == pytest.approx(figures["seconds"]["generate"])
        assert row["round/held_out_criterion"] == pytest.approx(states[number]["held_out"])


def test_the_state_after_the_last_training_is_there_too(logged: Logged) -> None:
    states = json.loads((logged.folder / "summary.json").read_text())["guard"]["states"]
    last = [row for row in logged.history(1) if "round/held_out_criterion" in row][-1]
    assert (last["round"], states[-1]["round"]) == (3, 3)
    assert last["round/held_out_criterion"] == pytest.approx(states[-1]["held_out"])


def test_what_sweeps_optimise_has_a_value_after_each_training(logged: Logged) -> None:
    """W&B stops trials by the history of the metric that they optimise; the starting model is no part of it."""
    states = json.loads((logged.folder / "summary.json").read_text())["guard"]["states"]
    first, second = (
        [(row["round"], row["final/held_out_criterion"]) for row in rows if "final/held_out_criterion" in row]
        for rows in (logged.history(), logged.history(1))
    )
    # the first start ended after its second training, the other one after its third
    expected = [(one["round"], pytest.approx(one["held_out"])) for one in states]
    assert first[0] == expected[1]
    assert first[-1][0] == 2
    assert second[-1] == expected[3]
    metrics = {one.get("glob_name") or one["name"]: one for one in logged.records("metric")}
    assert metrics["final/*"]["step_metric"] == "round"


def test_each_round_has_histograms_of_the_score(logged: Logged) -> None:
    row = next(row for row in logged.history() if row.get("round") == 1)
    rows = logged.rows(1)
    for name, values in {
        "i2c_right": [one["scores"]["answer"] for one in rows if one["scores"]],
        "i2c_other": [one["shuffled"] for one in rows if one["shuffled"] is not None],
        "i2c_positives": [one["scores"]["answer"] for one in rows if one["fate"] == "positive"],
    }.items():
        assert sum(row[f"round/{name}.values"]) == len(values) > 0
        bins = row[f"round/{name}.bins"]
        assert (bins[0], bins[-1]) == pytest.approx((min(values), max(values)))


def test_each_round_has_a_table_with_images(logged: Logged) -> None:
    first = next(one for one in logged.records("artifact") if one["type"] == "run_table")
    files = {one["path"]: Path(one["local_path"]) for one in first["manifest"]["contents"]}
    table = json.loads(files["candidates.table.json"].read_text(encoding="utf-8"))
    shown = [dict(zip(table["columns"], one, strict=True)) for one in table["data"]]
    best = max((one for one in logged.rows(0) if one["scores"]), key=lambda one: one["scores"]["answer"])
    assert [one["shown as"] for one in shown] == [*["top"] * 8, *["bottom"] * 8, *["random"] * 8]
    assert shown[0]["S(I2C) answer"] == pytest.approx(best["scores"]["answer"])
    assert shown[0]["image key"] == best["candidate"]["image"]
    assert {one["truth"] for one in shown} <= {"right", "wrong", "unanswerable", "unparsable"}
    for one in shown:
        with Image.open(files[one["image"]["path"]]) as image:
            assert 0 < max(image.size) <= 160
    # the row of the round points to it
    row = next(row for row in logged.history() if row.get("round") == 0)
    assert (row["candidates._type"], row["candidates.nrows"]) == ("table-file", 24)


def test_the_summary_holds_what_the_run_ended_with(logged: Logged) -> None:
    summary, known = logged.summary(1), json.loads((logged.folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["final/held_out_criterion"] == pytest.approx(known["guard"]["states"][-1]["held_out"])
    assert summary["final/tuned_truth_rate"] == pytest.approx(known["writers"]["tuned"]["truth_rate"])
    assert summary["final/dataset_pairs"] == known["dataset"]["pairs"]
    assert summary["final/auroc_answer"] == pytest.approx(known["i2c_auroc"]["answer"])
    assert summary["final/seconds_total"] == known["seconds_total"]
    # the last round was made before the last training
    assert not [name for name in summary if name.startswith("round/")]


def test_data_set_adapter_and_report_are_artifacts(logged: Logged) -> None:
    artifacts = {one["type"]: one["manifest"]["contents"] for one in logged.records("artifact", 1)}
    assert [one["path"] for one in artifacts["dataset"]] == ["vlit.card.md", "vlit.json", "vlit.parquet"]
    assert "adapter/adapter_model.safetensors" in [one["path"] for one in artifacts["adapter"]]
    for one in (*artifacts["dataset"], *artifacts["adapter"], *artifacts["report"]):
        content = (logged.folder / one["path"]).read_bytes()
        assert base64.b64decode(one["digest"]) == hashlib.md5(content).digest()


def test_a_resumed_run_is_the_same_run_and_goes_on_behind_it(logged: Logged) -> None:
    first, second = (logged.records("run", piece)[0] for piece in (0, 1))
    assert first["run_id"] == second["run_id"] == json.loads((logged.folder / "wandb.json").read_text())["id"]
    assert first["display_name"] == second["display_name"]
    assert [row["round"] for row in logged.history(1) if "round/candidates" in row] == [2]
    # once both are uploaded, the steps of the second follow those of the first
    assert logged.history(1)[0]["_step"] > logged.history(0)[-1]["_step"]
    assert [piece[-1]["exit"]["exit_code"] for piece in logged.pieces] == [0, 0]


def test_no_key_is_in_any_file_of_the_run(logged: Logged) -> None:
    files = [path for path in logged.folder.rglob("*") if path.is_file()]
    assert len(files) > 30
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def _candidate(number: int, score: float | None) -> ScoredCandidate:
    scores = None if score is None else Scores(score, 2.0, 3.0, 4.0, float("-inf"), 6.0, 7)
    answer = "" if score is None else f"answer {number}"
    text = f"text {number}"
    made = Candidate(f"{number}.png", Instruction("color", "Ask."), 0, text, "Why?" if answer else "", answer, "")
    return ScoredCandidate(made, scores, status="positive" if score else "rejected")


def test_a_table_shows_each_candidate_once_and_texts_that_could_not_be_parsed() -> None:
    candidates = [_candidate(0, 0.5), _candidate(1, None), _candidate(2, 0.7)]
    table = candidates_table(CandidateColumns.of(candidates), 0, lambda key: None)
    shown = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [(one["shown as"], one["answer"]) for one in shown] == [
        ("top", "answer 2"),
        ("top", "answer 0"),
        ("random", "text 1"),
    ]
    assert [(one["image"], one["image key"]) for one in shown] == [(None, "2.png"), (None, "0.png"), (None, "1.png")]
    # nothing was judged, and minus infinity is no number for a table
    assert "truth" not in table.columns
    assert shown[0]["S(I2C) gap"] == 4.0
    assert shown[0]["mean_logp"] is None


def test_a_table_of_many_shows_the_ends_of_the_order() -> None:
    candidates = [_candidate(number, number / 100 + 0.01) for number in range(40)]
    table = candidates_table(CandidateColumns.of(candidates), 0, lambda key: Image.new("RGBA", (320, 200)))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    keys = {shown: [one["image key"] for one in rows if one["shown as"] == shown] for shown in ("top", "bottom")}
    assert keys["top"] == [f"{number}.png" for number in range(39, 31, -1)]
    assert keys["bottom"] == [f"{number}.png" for number in range(7, -1, -1)]
    assert len({one["image key"] for one in rows}) == 24
    assert rows[0]["image"].size == (160, 100)
