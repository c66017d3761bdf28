"""Training that `max_steps`, `max_time` or a callback ended goes on as if nothing had ended it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import Timer

from callbacks.checkpointing import Checkpointing, WholeFile
from callbacks.interruption import Interruption
from data_modules.instruction_tuning import InstructionDataModule
from lightning_c3l.cli.trainer import run_trainer
from lightning_c3l.runs.folder import LAST, last_checkpoint
from tests.data_modules.test_resumed_training import GROUPS, Records, Rounds, Toy, Tuned, data, names, weights
from tests.helpers.commandline import tiny_config, write_images


class StopAfter(Callback):
    """Asks once, after so many batches of the run."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx + 1 == self.batches:
            trainer.should_stop = True


class Run:
    """Two epochs of ten groups or of seven records, two a batch, in a folder of its own."""

    def __init__(self, folder: Path, kind: str, accumulate: int) -> None:
        self.folder, self.kind, self.accumulate = folder, kind, accumulate
        folder.mkdir()

    def fit(self, *callbacks: Callback, **options: Any) -> tuple[Toy, int]:
        """What was trained, and the optimizer steps of the run so far; goes on where there is a checkpoint."""
        interruption = Interruption([])
        rounds = [Rounds(GROUPS)] if self.kind == "rounds" else []
        trainer = Trainer(
            **{"accelerator": "cpu", "max_epochs": 2, **options},
            default_root_dir=self.folder,
            accumulate_grad_batches=self.accumulate,
            callbacks=[*rounds, *callbacks, interruption, Checkpointing(50, interruption)],
            plugins=[WholeFile()],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        module, batches = (Toy(), self.rounds()) if self.kind == "rounds" else (Tuned(), self.records())
        trainer.fit(module, datamodule=batches, ckpt_path=last_checkpoint(self.folder), weights_only=True)
        return module, trainer.global_step

    def rounds(self) -> LightningDataModule:
        return data(self.folder)

    def records(self) -> LightningDataModule:
        return InstructionDataModule(records=Records(), batch_size=2)


def same_in_the_end(parts: list[tuple[Toy, int]], whole: tuple[Toy, int]) -> None:
    """Losses, weights and steps of a run in parts are those of a run without a break."""
    assert [loss for module, _ in parts for loss in module.losses] == whole[0].losses
    assert names([batch for module, _ in parts for batch in module.seen]) == names(whole[0].seen)
    assert torch.equal(weights(parts[-1][0]), weights(whole[0]))
    assert parts[-1][1] == whole[1]


# an epoch has five batches of groups or four of records: three or two steps of two batches
@pytest.mark.parametrize("kind", ["rounds", "tuning"])
@pytest.mark.parametrize(("accumulate", "steps"), [(1, (1,)), (1, (2, 4, 7)), (1, (5, 6)), (2, (1, 3)), (2, (2,))])
def test_max_steps_can_be_raised(tmp_path: Path, kind: str, accumulate: int, steps: tuple[int, ...]) -> None:
    whole = Run(tmp_path / "whole", kind, accumulate).fit()
    cut = Run(tmp_path / "cut", kind, accumulate)
    parts = [cut.fit(max_steps=limit) for limit in steps]
    assert [taken for _, taken in parts] == list(steps)
    # the same limit once more changes nothing
    assert not cut.fit(max_steps=steps[-1])[0].seen
    same_in_the_end([*parts, cut.fit()], whole)


@pytest.mark.parametrize("kind", ["rounds", "tuning"])
@pytest.mark.parametrize(
    ("accumulate", "batches", "taken"), [(1, 3, 3), (1, 5, 5), (2, 1, 2), (2, 2, 2), (3, 2, 3), (2, 6, 7)]
)
def test_a_callback_stops_it_at_the_end_of_an_optimizer_step(
    tmp_path: Path, kind: str, accumulate: int, batches: int, taken: int
) -> None:
    whole = Run(tmp_path / "whole", kind, accumulate).fit()
    cut = Run(tmp_path / "cut", kind, accumulate)
    first = cut.fit(StopAfter(batches))
    # the sixth batch is the first of an epoch of groups, and the second of one of records
    assert len(first[0].seen) == (6 if (kind, batches) == ("tuning", 6) else taken)
    same_in_the_end([first, cut.fit()], whole)


class OutOfTime(Timer):
    """`max_time`, which is over with the third batch."""

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        self._offset = 3600 if trainer.fit_loop.total_batch_idx == 2 else 0
        super().on_train_batch_end(trainer, *args, **kwargs)


def test_max_time_is_no_end_of_an_epoch(tmp_path: Path) -> None:
    whole = Run(tmp_path / "whole", "tuning", 1).fit()
    cut = Run(tmp_path / "cut", "tuning", 1)
    first = cut.fit(OutOfTime({"minutes": 10}))
    assert first[1] == 3
    same_in_the_end([first, cut.fit()], whole)


def test_what_is_not_trained_yet_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Run(tmp_path / "cut", "tuning", 2).fit(max_steps=1)
    assert "stopped after 2 of 4 batches of epoch 0; --ckpt_path last goes on with the rest" in caplog.text
    assert (tmp_path / "cut" / LAST).is_file()


def test_one_that_must_not_stop_yet_goes_on(tmp_path: Path) -> None:
    module, steps = Run(tmp_path / "run", "tuning", 2).fit(StopAfter(1), min_epochs=2)
    assert (len(module.seen), steps) == (8, 4)


def config_of(folder: Path, kind: str, checkpoint: Path) -> Path:
    """Six steps: two epochs of rounds, or one of twelve records with dropout."""
    write_images(folder / "images", 5)
    path = tiny_config(folder, checkpoint)
    if kind == "rounds":
        return path
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "red rings"}]
    records = [{"image": f"picture {number % 5}.png", "conversations": turns} for number in range(12)]
    (folder / "images" / "vlit.json").write_text(json.dumps(records))
    config = yaml.safe_load(path.read_text())
    lvlm = config["model"]["init_args"]["lvlm"]
    lvlm["init_args"]["lora"]["dropout"] = 0.2
    config["model"] = {
        "class_path": "lightning_c3l.modules.instruction_tuning.InstructionTuningModule",
        "init_args": {"lvlm": lvlm},
    }
    options = {"path": str(folder / "images" / "vlit.json"), "batch_size": 1}
    config["data"] = {"class_path": "data_modules.instruction_tuning.InstructionDataModule", "init_args": options}
    config["trainer"]["max_epochs"] = 1
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rounds", "tuning"])
def test_through_the_command_line(tmp_path: Path, kind: str, tiny_checkpoint: Path) -> None:
    config = config_of(tmp_path, kind, tiny_checkpoint)

    def fit(name: str, *words: str) -> dict[str, Any]:
        words = (*words, "--trainer.accumulate_grad_batches=2", "--exposure.measure=false", "--guard.action=off")
        run_trainer(["fit", "--config", str(config), "--run.name", name, *words])
        made: dict[str, Any] = torch.load(tmp_path / "runs" / name / "version_0" / LAST, weights_only=True)
        return made

    whole = fit("whole")
    assert fit("cut", "--trainer.max_steps=2")["global_step"] == 2
    assert fit("cut", "--trainer.max_steps=5", "--ckpt_path=last")["global_step"] == 5
    cut = fit("cut", "--ckpt_path=last")
    assert whole["global_step"] == cut["global_step"] == 6
    assert whole["state_dict"].keys() == cut["state_dict"].keys()
    assert all(torch.equal(whole["state_dict"][name], value) for name, value in cut["state_dict"].items())
