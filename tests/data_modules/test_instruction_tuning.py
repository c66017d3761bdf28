"""Records of a file as batches."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from data_modules.instruction_tuning import InstructionDataModule
from data_modules.tuning_sets import MixedRecords, Part
from lightning_c3l.lvlm.base import ConversationError
from lightning_c3l.records import Conversation


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (3, 2), "blue").save(tmp_path / "images" / "b.png")
    turns = [{"from": "human", "value": "<image>\nWhat color?"}, {"from": "gpt", "value": "blue"}]
    blind = [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}]
    records = [{"id": f"r{n}", "image": "b.png", "conversations": turns} for n in range(4)]
    path = tmp_path / "images" / "vlit.json"
    path.write_text(json.dumps([*records, {"id": "r4", "conversations": blind}]))
    return path


def attach(
    module: InstructionDataModule, seed: int = 0, epoch: int = 0, rank: int = 0, world: int = 1
) -> InstructionDataModule:
    trainer: Any = SimpleNamespace(
        current_epoch=epoch,
        global_rank=rank,
        world_size=world,
        default_root_dir=".",
        fit_loop=SimpleNamespace(
            restarting=True, epoch_progress=SimpleNamespace(current=SimpleNamespace(ready=1, started=1, processed=0))
        ),
    )
    module.trainer = trainer
    module.collate_with(list, seed)
    return module


def test_every_record_comes_once(file: Path) -> None:
    module = attach(InstructionDataModule(str(file), batch_size=2))
    sizes = [len(batch) for batch in module.train_dataloader()]
    assert sizes == [2, 2, 1]
    names = [conversation.id for batch in module.train_dataloader() for conversation, _ in batch]
    assert sorted(names) == ["r0", "r1", "r2", "r3", "r4"]
    still = attach(InstructionDataModule(str(file), batch_size=2, shuffle=False))
    names = [conversation.id for batch in still.train_dataloader() for conversation, _ in batch]
    assert names == ["r0", "r1", "r2", "r3", "r4"]


def names(module: InstructionDataModule) -> list[str | None]:
    return [conversation.id for batch in module.train_dataloader() for conversation, _ in batch]


def test_order_depends_on_seed_and_epoch_alone(file: Path) -> None:
    def drawn(**where: int) -> tuple[str | None, ...]:
        return tuple(names(attach(InstructionDataModule(str(file), batch_size=2), **where)))

    assert drawn() == drawn()
    assert len({drawn(seed=n, epoch=m) for n in range(3) for m in range(3)}) > 6


def test_processes_share_the_records(file: Path) -> None:
    alone = names(attach(InstructionDataModule(str(file), batch_size=2)))
    own = [names(attach(InstructionDataModule(str(file), batch_size=1), rank=rank, world=2)) for rank in range(2)]
    # five records: the last batch has one for both
    assert own == [alone[0::2], [*alone[1::2], alone[4]]]


def test_a_resumed_epoch_goes_on(file: Path) -> None:
    interrupted = attach(InstructionDataModule(str(file), batch_size=2))
    whole = names(interrupted)
    next(iter(interrupted.train_dataloader()))
    resumed = attach(InstructionDataModule(str(file), batch_size=1))
    resumed.load_state_dict(interrupted.state_dict())
    assert names(resumed) == whole[2:]


def test_a_mixture_is_drawn_anew_in_each_epoch(file: Path) -> None:
    twice = MixedRecords([Part(str(file)), Part(str(file), ratio=0.4)])
    epochs = [names(attach(InstructionDataModule(records=twice, shuffle=False), epoch=epoch)) for epoch in range(9)]
    assert all(len(epoch) == 7 and set(epoch) == {f"r{n}" for n in range(5)} for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 6
    again = names(attach(InstructionDataModule(records=twice), epoch=3))
    assert again == epochs[3]


def test_what_is_left_out_is_listed_in_the_run_folder(file: Path, tmp_path: Path) -> None:
    records = json.loads(file.read_text())
    file.write_text(json.dumps([{**records[0], "image": "gone.png"}, *records]))
    module = attach(InstructionDataModule(str(file)))
    trainer: Any = module.trainer
    trainer.default_root_dir, trainer.is_global_zero = str(tmp_path / "run"), True
    (tmp_path / "run").mkdir()
    with pytest.warns(UserWarning, match=r"1 records are left out.*image gone\.png is not below"):
        module.train_dataloader()
    (line,) = (tmp_path / "run" / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["key"] == f"{file}, record 1"
    assert len(names(module)) == 5


@dataclass
class Batch:
    """Stands for encoded conversations."""

    ids: list[str]
    target: Tensor


def encode(samples: Sequence[tuple[Conversation, Any]]) -> Batch:
    """As an LVLM whose context holds no long conversations."""
    if any(len(conversation.turns[0].text) > 50 for conversation, _ in samples):
        raise ConversationError("a conversation of 99 tokens is longer than the model's context")
    return Batch([conversation.id for conversation, _ in samples], torch.ones(len(samples)))


@pytest.mark.filterwarnings("ignore:.*left out, listed in")
@pytest.mark.parametrize("workers", [0, 2])
def test_what_cannot_be_used_is_left_out_and_listed_once(file: Path, tmp_path: Path, workers: int) -> None:
    records = json.loads(file.read_text())
    long = [{"from": "human", "value": "long " * 99}, {"from": "gpt", "value": "x"}]
    records[1]["image"], records[3] = "broken.png", {"id": "r3", "conversations": long}
    file.write_text(json.dumps([{"image": "gone.png", **records[4]}, *records]))
    (file.parent / "broken.png").write_bytes(b"not an image")
    drawn = list[str]()
    for epoch in range(2):
        for rank in range(2):
            module = InstructionDataModule(str(file), batch_size=1, shuffle=False, num_workers=workers)
            trainer: Any = attach(module, epoch=epoch, rank=rank, world=2).trainer
            module.collate_with(encode, 0)
            trainer.default_root_dir = str(tmp_path / "run")
            trainer.is_global_zero = rank == 0
            batches = list(module.train_dataloader())
            assert len(batches) == 3
            drawn += [name for batch in batches for name in batch.ids if batch.target.any()]
    # in each epoch the others once; the last is drawn by both processes, so that each has as many batches
    assert sorted(drawn) == 2 * ["r0"] + 2 * ["r2"] + 4 * ["r4"]
    listed = [json.loads(line) for line in (tmp_path / "run" / "rejected.jsonl").read_text().splitlines()]
    reasons = {one["key"].removeprefix(f"{file}, "): one["reason"] for one in listed}
    assert len(listed) == len(reasons) == 3
    assert reasons == {
        "record 1": f"image gone.png is not below {file.parent}",
        "record 3": "not an image, or of no supported format",
        "record 5": "a conversation of 99 tokens is longer than the model's context",
    }


@pytest.mark.filterwarnings("ignore:.*left out, listed in")
def test_a_set_of_which_nothing_can_be_used_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text())[:2]))
    (file.parent / "b.png").write_bytes(b"not an image")
    module = attach(InstructionDataModule(str(file)))
    trainer: Any = module.trainer
    module.collate_with(encode, 0)
    trainer.default_root_dir = str(tmp_path)
    with pytest.raises(ValueError, match=r"no record can be used; look at the reasons in .*rejected\.jsonl"):
        list(module.train_dataloader())
    assert len((tmp_path / "rejected.jsonl").read_text().splitlines()) == 2


def test_misuse_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        InstructionDataModule(str(file), batch_size=0)
    with pytest.raises(RuntimeError, match="Trainer"):
        InstructionDataModule(str(file)).train_dataloader()
