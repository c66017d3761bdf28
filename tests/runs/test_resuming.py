"""What may change when a run resumes from its checkpoint, through the command line in this process."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from lightning_c3l.cli.trainer import run_trainer
from lightning_c3l.runs.config_file import differences
from lightning_c3l.runs.resuming import require_same_run, rule
from tests.experiments.test_finetune import write_set


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("trainer.devices", "free"),
        ("trainer.strategy", "free"),
        ("trainer.max_epochs", "free"),
        ("trainer.max_time", "free"),
        ("trainer.fast_dev_run", "refused"),
        ("trainer.logger", "free"),
        ("run.wandb", "free"),
        ("run.checkpoint_every", "free"),
        ("data.num_workers", "free"),
        ("model.writing.score_batch_size", "free"),
        ("model.optimization.learning_rate", "notice"),
        ("trainer.accumulate_grad_batches", "notice"),
        ("data.batch_size", "notice"),
        ("data.images", "content"),
        ("model.lvlm.path", "content"),
        ("model.writing.sampling.temperature", "round"),
        ("i2c.margin", "round"),
        ("i2c.negatives", "round"),
        ("i2c.accumulate", "refused"),
        ("i2c.restart_adapter", "refused"),
        ("model.generator", "round"),
        ("model.generator.model", "round"),
        ("model.generator.url", "free"),
        ("model.generator.concurrency", "free"),
        ("model.lvlm.lora.alpha", "refused"),
        ("model.lvlm.dtype", "refused"),
        ("model.loss.temperature", "refused"),
        ("model.loss.form", "refused"),
        ("guard.images", "refused"),
        ("seed_everything", "refused"),
        ("optimizer.init_args.lr", "refused"),
        ("model.an_option_of_tomorrow", "refused"),
    ],
)
def test_the_rule_of_an_option(option: str, expected: str) -> None:
    assert rule(option) == expected


def test_differences_are_named_as_on_the_command_line() -> None:
    before = {"model": {"class_path": "A", "init_args": {"lora": {"rank": 2}, "words": ["a"], "old": 1}}, "run": None}
    now = {"model": {"class_path": "A", "init_args": {"lora": None, "words": ["b"], "new": 2}}, "run": None}
    assert list(differences(before, now)) == [
        ("model.lora", {"rank": 2}, None),
        ("model.words.0", "a", "b"),
    ]
    assert list(differences({"data": {"class_path": "A"}}, {"data": {"class_path": "B"}})) == [
        ("data.class_path", "A", "B")
    ]


def test_a_round_that_is_made_again_may_have_other_options() -> None:
    before = {"i2c": {"margin": 0.0, "restart_round": False}}
    with pytest.raises(ValueError, match=r"i2c\.margin is 0\.5, .* created with 0\.0 .*--i2c\.restart_round true"):
        require_same_run(before, {"i2c": {"margin": 0.5, "restart_round": False}}, "x")
    require_same_run(before, {"i2c": {"margin": 0.5, "restart_round": True}}, "x")
    with pytest.raises(ValueError, match="seed_everything is 2, but this run was created with 1"):
        require_same_run({"seed_everything": 1}, {"seed_everything": 2, "i2c": {"restart_round": True}}, "x")


def test_an_object_is_named_by_its_class() -> None:
    generator = {"class_path": "lightning_c3l.lvlm.served.generator.ServedGenerator", "init_args": {"url": "http://a"}}
    before, now = ({"model": {"init_args": {"generator": one}}} for one in (generator, None))
    with pytest.raises(
        ValueError, match=r"^model\.generator is None, but this run was created with ServedGenerator \("
    ):
        require_same_run(before, now, "config.yaml")


def test_a_limit_may_be_raised_alone() -> None:
    for before, now in ((4, 8), (4, None), (4, 4), (None, None)):
        require_same_run({"data": {"limit": before}}, {"data": {"limit": now}}, "x")
    for before, now in ((8, 4), (None, 4)):
        with pytest.raises(ValueError, match=f"data.limit is 4, but this run was created with {before}"):
            require_same_run({"data": {"limit": before}}, {"data": {"limit": now}}, "x")


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path) -> Path:
    """A folder with an experiment that has run for an epoch, its data, and another file of data."""
    folder = tmp_path_factory.mktemp("tuned")
    written = write_set(folder, 2)
    (folder / "other.json").write_text(written.read_text().replace("color", "colour"))
    config = {
        "seed_everything": 1,
        "run": {"root": str(folder / "runs"), "name": "tuned", "wandb": None},
        "model": {
            "class_path": "lightning_c3l.modules.instruction_tuning.InstructionTuningModule",
            "init_args": {
                "lvlm": {
                    "class_path": "lightning_c3l.lvlm.huggingface.HuggingFaceLVLM",
                    "init_args": {"path": str(tiny_checkpoint), "lora": {"rank": 2, "alpha": 4}},
                },
                "optimization": {"learning_rate": 1e-3},
            },
        },
        "data": {
            "class_path": "data_modules.instruction_tuning.InstructionDataModule",
            "init_args": {"path": str(written), "batch_size": 4},
        },
        "trainer": {
            "accelerator": "cpu",
            "max_epochs": 1,
            "enable_progress_bar": False,
            "enable_model_summary": False,
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    run_trainer(["fit", "--config", str(folder / "config.yaml")])
    return folder


@pytest.fixture
def begun(tuned: Path, tmp_path: Path) -> Path:
    """Run folder of a copy of that run, whose command is `again`."""
    shutil.copytree(tuned / "runs", tmp_path / "runs")
    return tmp_path / "runs" / "tuned" / "version_0"


def again(tuned: Path, folder: Path, *words: str) -> None:
    """The same command once more."""
    root = str(folder.parents[1])
    run_trainer(
        ["fit", "--config", str(tuned / "config.yaml"), "--run.root", root, "--trainer.max_epochs", "2"]
        + ([] if "--ckpt_path" in words else ["--ckpt_path", "last"])
        + list(words)
    )


def contents(folder: Path) -> dict[str, bytes]:
    """All files but the lock, which names the process."""
    files = (path for path in folder.rglob("*") if path.is_file() and "lock" not in path.name)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model.lvlm.lora.alpha", "8"], r"model\.lvlm\.lora\.alpha is 8, but this run was created with 4"),
        (["--model.lvlm.lora.dropout", "0.1"], r"model\.lvlm\.lora\.dropout is 0\.1, but .* created with 0\.0"),
        (["--data.shuffle", "false"], r"data\.shuffle is False, but this run was created with True"),
        (["--seed_everything", "2"], r"seed_everything is 2, but this run was created with 1"),
    ],
)
def test_what_cannot_change_is_refused_and_nothing_is_touched(
    tuned: Path, begun: Path, words: list[str], message: str
) -> None:
    before = contents(begun)
    with pytest.raises(ValueError, match=message):
        again(tuned, begun, *words)
    assert contents(begun) == before


def test_another_base_and_other_data_are_refused_by_what_is_in_them(
    tuned: Path, begun: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    before, copy = contents(begun), tmp_path / "moved"
    shutil.copytree(tiny_checkpoint, copy)
    with pytest.raises(ValueError, match=r"data\.path: .*other\.json \(digest \w+\) is not .*: .*vlit\.json"):
        again(tuned, begun, "--data.path", str(tuned / "other.json"), "--data.images", str(tuned))
    weights = next(copy.glob("*.safetensors"))
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ValueError, match=r"model\.lvlm\.path .*moved has fingerprint \w+"):
        again(tuned, begun, "--model.lvlm.path", str(copy))
    assert contents(begun) == before
    # the same weights and records in another place are the same
    shutil.copytree(tiny_checkpoint, copy, dirs_exist_ok=True)
    shutil.copytree(tuned, tmp_path / "data", ignore=shutil.ignore_patterns("runs"))
    again(tuned, begun, "--model.lvlm.path", str(copy), "--data.path", str(tmp_path / "data" / "vlit.json"))
    assert torch.load(begun / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1


def test_a_checkpoint_that_lies_alone_knows_its_options(tuned: Path, begun: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.ckpt"
    shutil.copy(begun / "checkpoints" / "last.ckpt", alone)
    with pytest.raises(ValueError, match=r"lora\.alpha is 8, but this run was created with 4 \(.*alone\.ckpt"):
        again(tuned, begun, "--model.lvlm.lora.alpha", "8", "--ckpt_path", str(alone))


def test_another_learning_rate_is_applied_and_told(tuned: Path, begun: Path, caplog: pytest.LogCaptureFixture) -> None:
    def rates() -> list[Any]:
        (state,) = torch.load(begun / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"]
        return [group["lr"] for group in state["param_groups"]]

    assert rates() == [1e-3, 1e-3]
    with caplog.at_level("INFO"):
        again(tuned, begun, "--model.optimization.learning_rate", "0.5")
    assert rates() == [0.5, 0.5]
    assert "model.optimization.learning_rate was 0.001, now it is 0.5: applied from here on" in caplog.text
    optimization = yaml.safe_load((begun / "config.yaml").read_text())["model"]["init_args"]["optimization"]
    assert optimization["learning_rate"] == 0.5


def test_the_configuration_says_what_a_run_used_that_had_no_step_left_and_starts_a_new_one(
    tuned: Path, begun: Path
) -> None:
    before = yaml.safe_load((begun / "config.yaml").read_text())
    # the first two count for the training that is over
    words = ["--trainer.max_steps", "1", "--model.optimization.learning_rate", "0.5", "--run.checkpoint_every", "7"]
    again(tuned, begun, "--trainer.max_epochs", "1", *words)
    before["run"].update(root=str(begun.parents[1]), checkpoint_every=7)
    assert yaml.safe_load((begun / "config.yaml").read_text()) == before
    again(tuned, begun)
    assert yaml.safe_load((begun / "config.yaml").read_text())["ckpt_path"] is None


def test_a_damaged_configuration_is_named(tuned: Path, begun: Path) -> None:
    (begun / "config.yaml").write_text("model: {class_path: [")
    with pytest.raises(ValueError, match=r"version_0/config\.yaml: is damaged (?s:.*)remove it"):
        again(tuned, begun)
