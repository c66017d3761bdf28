"""Records of a file as batches."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from data_modules.instruct import FileRecords, InstructionDataModule
from lightning_c3l.commands.convert import Job, convert


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (3, 2), "blue").save(tmp_path / "pictures" / "b.png")
    turns = [{"from": "human", "value": "<image>\nWhat color?"}, {"from": "gpt", "value": "blue"}]
    blind = [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}]
    records = [{"id": f"r{n}", "image": "b.png", "conversations": turns} for n in range(4)]
    path = tmp_path / "pictures" / "vlit.json"
    path.write_text(json.dumps([*records, {"id": "r4", "conversations": blind}]))
    return path


def attach(
    module: InstructionDataModule, seed: int = 0, epoch: int = 0, rank: int = 0, world: int = 1
) -> InstructionDataModule:
    trainer: Any = SimpleNamespace(
        lightning_module=SimpleNamespace(encode=list, seed=seed),
        current_epoch=epoch,
        global_rank=rank,
        world_size=world,
        fit_loop=SimpleNamespace(restarting=True),
    )
    module.trainer = trainer
    return module


def test_records_hold_turns_and_picture(file: Path) -> None:
    records = FileRecords(str(file))
    conversation, image = records[0]
    assert [(turn.role, turn.text) for turn in conversation.turns] == [("user", "What color?"), ("assistant", "blue")]
    assert isinstance(image, Image.Image)
    assert image.getpixel((0, 0)) == (0, 0, 255)
    assert records[4][1] is None
    assert len(records) == 5


@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_any_format_holds_the_same(file: Path, name: str) -> None:
    out = file.parent / name
    assert convert(Job(str(file), out)) == (5, 0)
    assert FileRecords(str(out)).conversations == FileRecords(str(file)).conversations


def test_several_pictures_come_together(file: Path) -> None:
    Image.new("RGB", (1, 1), "red").save(file.parent / "r.png")
    turns = [{"from": "human", "value": "<image>or <image>?"}, {"from": "gpt", "value": "red"}]
    file.write_text(json.dumps([{"image": ["b.png", "r.png"], "conversations": turns}]))
    conversation, pictures = FileRecords(str(file))[0]
    assert conversation.images == ("b.png", "r.png")
    assert isinstance(pictures, tuple)
    assert [picture.getpixel((0, 0)) for picture in pictures] == [(0, 0, 255), (255, 0, 0)]


def test_what_cannot_be_trained_on_is_named(file: Path, tmp_path: Path) -> None:
    convert(Job(str(file), tmp_path / "x.tar"))
    with pytest.raises(ValueError, match=r"x\.tar, record 1: .*--extract"):
        FileRecords(str(tmp_path / "x.tar"))
    file.write_text(file.read_text().replace("b.png", "c.png"))
    with pytest.raises(ValueError, match=r"vlit\.json, record 1: image c\.png is not below"):
        FileRecords(str(file))


def test_pictures_may_lie_elsewhere(file: Path, tmp_path: Path) -> None:
    moved = file.rename(tmp_path / "vlit.json")
    assert FileRecords(str(moved), str(tmp_path / "pictures"))[0][1] is not None


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


def test_misuse_is_refused(file: Path) -> None:
    with pytest.raises(ValueError, match="batch_size"):
        InstructionDataModule(str(file), batch_size=0)
    with pytest.raises(RuntimeError, match="Trainer"):
        InstructionDataModule(str(file)).train_dataloader()
