"""Weights of a `test` run: trained checkpoints answer as their adapters do, and what does not fit is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.modules.instruction_tuning import InstructionTuningModule
from tests.helpers.benchmark_runs import answer_rows, run_benchmark
from tests.helpers.tiny import SMALL_LORA, awaken_adapter, load_tiny

GREEDY = Sampling(1, 6, 0.0)


@pytest.fixture
def files(benchmark_files: dict[str, tuple[str, str]]) -> tuple[str, str]:
    return benchmark_files["llava_w"]


def texts(folder: Path) -> list[str]:
    return [row["text"] for row in answer_rows(folder)]


def checkpoint_of(module: Any, folder: Path) -> Path:
    """What a run of this module would leave."""
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, max_epochs=0, default_root_dir=folder
    )
    trainer.strategy.connect(module)
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


@pytest.mark.parametrize("kind", [InstructionTuningModule, C3LModule])
def test_a_trained_checkpoint_answers_as_its_adapter_does(
    tmp_path: Path, tiny_checkpoint: Path, files: tuple[str, str], kind: type
) -> None:
    trained = load_tiny(tiny_checkpoint)
    # the head of this form is no weight of the LVLM
    loss = {"loss": LossConfig(form="representation")} if kind is C3LModule else {}
    checkpoint = checkpoint_of(kind(trained, **loss), tmp_path)
    if loss:
        assert any("contrastive" in name for name in torch.load(checkpoint, weights_only=True)["state_dict"])
    trained.save(tmp_path / "adapter")
    run_benchmark(
        tmp_path / "file",
        load_tiny(tiny_checkpoint, awake=False),
        files,
        "llava_w",
        checkpoint=checkpoint,
    )
    run_benchmark(
        tmp_path / "folder",
        HuggingFaceLVLM(str(tmp_path / "adapter"), lora=None),
        files,
        "llava_w",
    )
    run_benchmark(tmp_path / "base", load_tiny(tiny_checkpoint, None, keep_reference=False), files, "llava_w")
    by_file, by_folder, base = (texts(tmp_path / name) for name in ("file", "folder", "base"))
    assert by_file == by_folder
    assert by_file != base
    assert answer_rows(tmp_path / "file")[0]["model_id"] == f"{tiny_checkpoint} + {checkpoint}"
    # the weights that were trained belong to what the answers were made with
    awaken_adapter(other := load_tiny(tiny_checkpoint, awake=False))
    with torch.no_grad():
        next(p for p in other.network.parameters() if p.requires_grad).add_(1.0)
    second = checkpoint_of(InstructionTuningModule(other), tmp_path / "other")
    with pytest.raises(ValueError, match="created with weights"):
        run_benchmark(tmp_path / "file", load_tiny(tiny_checkpoint), files, "llava_w", checkpoint=second)


def test_a_fully_tuned_model_keeps_its_frozen_weights(
    tmp_path: Path, tiny_checkpoint: Path, files: tuple[str, str]
) -> None:
    module = InstructionTuningModule(load_tiny(tiny_checkpoint, None, keep_reference=False), frozen=["vision_tower"])
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.mul_(1.2)
    checkpoint = checkpoint_of(module, tmp_path)
    module.lvlm.save(tmp_path / "model")
    plain = load_tiny(tiny_checkpoint, None, keep_reference=False)
    run_benchmark(tmp_path / "file", plain, files, "llava_w", checkpoint=checkpoint)
    run_benchmark(
        tmp_path / "folder",
        load_tiny(tmp_path / "model", None, keep_reference=False),
        files,
        "llava_w",
    )
    assert [row["text"] for row in answer_rows(tmp_path / "file")] == [
        row["text"] for row in answer_rows(tmp_path / "folder")
    ]


@pytest.mark.parametrize(
    ("lora", "said"),
    [
        (LoRA(rank=4), "has another shape of weight network"),
        (LoRA(rank=2, vision=True), "lacks weight network"),
        (None, "holds the unknown weight network"),
    ],
)
def test_weights_that_do_not_all_come_back_are_refused(
    tmp_path: Path, tiny_checkpoint: Path, files: tuple[str, str], lora: LoRA | None, said: str
) -> None:
    checkpoint = checkpoint_of(C3LModule(load_tiny(tiny_checkpoint, SMALL_LORA)), tmp_path)
    with pytest.raises(ValueError, match=said):
        run_benchmark(
            tmp_path / "run",
            load_tiny(tiny_checkpoint, lora, keep_reference=False),
            files,
            "llava_w",
            checkpoint=checkpoint,
        )
    assert not list(tmp_path.glob("run/answers*"))


def test_a_file_without_any_of_its_weights_is_refused(
    tmp_path: Path, tiny_checkpoint: Path, files: tuple[str, str]
) -> None:
    """A fully tuned model keeps what its file lacks: it would answer as its base does."""
    lvlm = load_tiny(tiny_checkpoint, None, keep_reference=False)
    checkpoint = checkpoint_of(C3LModule(lvlm, loss=LossConfig(form="representation", token_weights="none")), tmp_path)
    content = torch.load(checkpoint, weights_only=True)
    weights = content["state_dict"]
    for change, said in (
        (lambda name: f"other.{name}", r"holds the unknown weight other\."),
        (lambda name: name if name.startswith("contrastive") else None, "holds no weight of an LVLM"),
    ):
        content["state_dict"] = {change(n): value for n, value in weights.items() if change(n) is not None}
        torch.save(content, checkpoint)
        with pytest.raises(ValueError, match=said):
            run_benchmark(tmp_path / "run", lvlm, files, "llava_w", checkpoint=checkpoint)
