"""What `test` and instruction tuning log to W&B, read back from their offline files with wandb's own reader."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import wandb
import yaml

from callbacks.wandb_answers import answers_table, evaluation_figures, reviews_table
from lightning_c3l.cli.main import main
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.benchmarks.base import Answer, Pair, ProtocolScore, Question
from lightning_c3l.evaluation.benchmarks.evaluation import Evaluation, ProtocolResult
from lightning_c3l.evaluation.benchmarks.pope import Pope
from lightning_c3l.evaluation.judging.base import Review
from tests.experiments.test_finetune import write_set
from tests.helpers.benchmark_runs import answer_rows, benchmark_config
from tests.helpers.commandline import ROOT
from tests.helpers.offline_wandb import exit_code_of, offline_history, offline_records, offline_summary
from tests.helpers.tiny import build_tiny

TOLD = ["--run.wandb", "team/seen", "--run.wandb_mode", "offline"]


@pytest.fixture(scope="module", autouse=True)
def _of_wandb(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Its own files do not go to the user's home."""
    with pytest.MonkeyPatch.context() as patched:
        for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
            patched.setenv(name, str(tmp_path_factory.mktemp("of wandb")))
        yield
    wandb.teardown()


def home_of(folder: Path) -> Path:
    (home,) = folder.glob("wandb/offline-run-*")
    return home


def artifacts(home: Path) -> dict[str, list[dict[str, str]]]:
    found = [one["artifact"] for one in offline_records(home) if one["type"] == "artifact"]
    return {one["type"]: one["manifest"]["contents"] for one in found}


def table(home: Path) -> list[dict[str, Any]]:
    (file,) = artifacts(home)["run_table"]
    content = json.loads(Path(file["local_path"]).read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


@pytest.fixture(scope="module")
def tested(tmp_path_factory: pytest.TempPathFactory, benchmark_files: dict[str, tuple[str, str]]) -> Path:
    """The folder of a run of `test` on POPE."""
    folder = tmp_path_factory.mktemp("tested")
    config = benchmark_config(folder, build_tiny(folder / "tiny"), "pope", benchmark_files["pope"])
    assert main(["test", "--config", str(config), *TOLD]) == 0
    return folder / "runs" / "pope" / "version_0"


def test_figures_of_a_benchmark_have_their_intervals(tested: Path) -> None:
    summary = offline_summary(home_of(tested))
    protocols = json.loads((tested / "evaluation.json").read_text())["protocols"]
    for suffix, name in (("", "reference"), ("_strict", "strict")):
        one = protocols[name]
        assert summary[f"test/pope_f1{suffix}"] == pytest.approx(one["headline"])
        low, high = one["interval"]
        assert summary[f"test/pope_f1{suffix}_low"] == pytest.approx(low)
        assert summary[f"test/pope_f1{suffix}_high"] == pytest.approx(high)
        assert summary[f"test/pope_yes_ratio{suffix}"] == pytest.approx(one["figures"]["yes_ratio"])
        assert summary[f"test/pope_n{suffix}"] == one["n"]
    assert exit_code_of(home_of(tested)) == 0


def test_answers_are_in_a_table_with_what_is_right(tested: Path) -> None:
    rows, answers = table(home_of(tested)), answer_rows(tested)
    assert [row["question id"] for row in rows] == [one["question_id"] for one in answers]
    for row, one in zip(rows, answers, strict=True):
        assert (row["question"], row["right answer"], row["image"]) == (one["question"], one["truth"], one["image"])
        assert row["answer"] == (one.get("problem") or one["text"])
        # as LLaVA's script reads the first sentence
        words = (one["text"] or "").split(".")[0].replace(",", "").split(" ")
        said = "no" if {"No", "not", "no"} & set(words) else "yes"
        assert row["right"] == (one["text"] is not None and said == one["truth"])
    assert {row["right"] for row in rows} == {True, False}


def test_the_answer_file_is_an_artifact(tested: Path) -> None:
    assert [one["path"] for one in artifacts(home_of(tested))["evaluation"]] == ["answers.jsonl", "evaluation.json"]


def result(headline: float | None, interval: tuple[float, float] | None, **figures: Any) -> ProtocolResult:
    return ProtocolResult("test/seed_accuracy", headline, interval, 4, 1, figures, {})


def test_a_figure_that_is_no_number_is_left_out() -> None:
    empty = Evaluation("seed", "rank", {"rank": result(None, None, ratio=float("nan"), model="a name")}, {}, {})
    assert dict(evaluation_figures(empty, benchmarks.load("seed"))) == {
        "test/seed_n": 4.0,
        "test/seed_parse_failures": 1.0,
    }


def test_answers_are_scored_together() -> None:
    """A figure over classes has none of one answer alone."""

    class OfBoth(Pope):
        name = "of_both"

        def score(self, pairs: Sequence[Pair], protocol: str) -> ProtocolScore:
            assert {question.truth for question, _ in pairs} == {"yes", "no"}
            return super().score(pairs, protocol)

    truths, said = ("yes", "no", "yes"), ("Yes.", "Yes.", "No.")
    pairs = [
        (Question(f"random/{i}", "Is there?", truth, "a.png", splits=("random",)), Answer(f"random/{i}", text))
        for i, (truth, text) in enumerate(zip(truths, said, strict=True))
    ]
    assert [row[-1] for row in answers_table(OfBoth(), pairs, "strict").rows] == [True, False, False]


def test_an_answer_without_a_text_is_the_likeliest_option() -> None:
    question = Question("1", "Which?", "B", "a.png", {"A": "a cat", "B": "a dog", "C": "none"})
    pairs = [
        (question, Answer("1", None, (2.0, 0.5, 1.0))),
        (question, Answer("1", None, (0.1, 0.5, 1.0))),
        (question, Answer("1", None, None, "no image")),
    ]
    shown = answers_table(benchmarks.load("seed"), pairs, "rank")
    rows = [dict(zip(shown.columns, row, strict=True)) for row in shown.rows]
    assert [(row["answer"], row["right"]) for row in rows] == [("B", True), ("A", False), ("no image", False)]
    assert rows[0]["options"] == "A. a cat\nB. a dog\nC. none"
    # nothing scores them
    assert [row[-1] for row in answers_table(benchmarks.load("seed"), pairs, None).rows] == [None, None, None]


def test_a_table_of_many_answers_is_a_part_in_order() -> None:
    pairs = [(Question(str(number), "Is it?"), Answer(str(number), "yes")) for number in range(1000)]
    numbers = [int(row[0]) for row in answers_table(benchmarks.load("pope"), pairs, None).rows]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 200
    assert numbers[-1] > 500
    assert [int(row[0]) for row in answers_table(benchmarks.load("pope"), pairs, None).rows] == numbers


def test_reviewed_answers_have_both_ratings() -> None:
    questions = [Question(name, "What?", image="a.png", reference="A dog.") for name in ("1", "2", "3")]
    pairs = [(question, Answer(question.id, "A cat.")) for question in questions]
    shown = reviews_table(pairs, [Review("1", "conv", 8.0, 5.0, "8 5"), Review("2", "conv", -1, -1, "no numbers")])
    rows = [dict(zip(shown.columns, row, strict=True)) for row in shown.rows]
    assert [(row["rating"], row["reference's rating"]) for row in rows] == [(5.0, 8.0), (None, None), (None, None)]
    assert rows[0]["reference"] == "A dog."


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short instruction tuning of an adapter, and beside it that of one that failed."""
    folder = tmp_path_factory.mktemp("tuned")
    words = ["fit", "--config", str(ROOT / "experiments" / "finetune" / "scenes.yaml"), "--run.root", str(folder)]
    words += ["--data.records.path", str(write_set(folder, 2)), "--data.batch_size", "4", "--trainer.max_epochs", "1"]
    words += ["--trainer.log_every_n_steps", "1", "--model.lvlm.lora", "{rank: 2, alpha: 4}", *TOLD]
    assert main(words) == 0
    broken = "{class_path: tests.helpers.recorders.FailsInTraining, init_args: {with_epochs: 1}}"
    with pytest.raises(RuntimeError, match="a defect"):
        main([*words, "--trainer.callbacks+", broken])
    return folder / "finetune-scenes" / "version_0"


def test_instruction_tuning_has_its_losses_configuration_and_adapter(tuned: Path) -> None:
    home = home_of(tuned)
    losses = [row for row in offline_history(home) if "train/nll" in row]
    assert [row["trainer/global_step"] for row in losses] == [0, 1]
    assert offline_summary(home)["train/nll"] == pytest.approx(losses[-1]["train/nll"])
    run = next(one["run"] for one in offline_records(home) if one["type"] == "run")
    config = {name: value for name, value in run["config"]["update"].items() if name != "_wandb"}
    assert config == yaml.safe_load((tuned / "config.yaml").read_text())
    assert run["display_name"].startswith("finetune-scenes/0 ")
    assert "adapter/adapter_model.safetensors" in [one["path"] for one in artifacts(home)["adapter"]]
    assert exit_code_of(home) == 0


def test_a_run_that_fails_reaches_wandb_with_its_status(tuned: Path) -> None:
    assert exit_code_of(home_of(tuned.with_name("version_1"))) == 1
