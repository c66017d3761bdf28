"""Checkpoints of a real Trainer: what is in them, and that it comes back or is refused by name."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch import nn

from data_modules.rounds import RoundDataModule
from data_modules.scenes import SceneImages
from lightning_c3l.lvlm.huggingface import LoRA
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.records import Candidate, Group, Instruction, ScoredCandidate
from lightning_c3l.runs.digests import trained_digest
from tests.helpers.tiny import SMALL_LORA, build_lookalike, load_tiny

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def trainer_of(folder: Path) -> Trainer:
    return Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def data() -> RoundDataModule:
    module = RoundDataModule("scenes:count=2,seed=1", batch_size=2)
    module.set_round(
        0,
        [
            Group(
                ScoredCandidate(Candidate(key, Instruction("color", "Write."), 0, "Q: What?\nA: red", "What?", "red")),
                (ScoredCandidate(Candidate(key, Instruction("color", "Write."), 1, "Q: Who?\nA: me", "Who?", "me")),),
            )
            for key in list(SceneImages(2, seed=1).keys())
        ],
        {},
    )
    return module


def module_of(tiny: Path, lora: LoRA | None = SMALL_LORA, **loss: Any) -> C3LModule:
    lvlm = load_tiny(tiny, lora, awake=False, keep_reference=False)
    # a form with a head and without a starting model
    options = LossConfig(**{"form": "representation", "token_weights": "none", **loss})
    return C3LModule(lvlm, loss=options, optimization=OptimizerConfig(learning_rate=1e-2))


def trained_checkpoint(tiny: Path, folder: Path, lora: LoRA | None = SMALL_LORA) -> tuple[C3LModule, Path]:
    module, trainer = module_of(tiny, lora), trainer_of(folder)
    trainer.fit(module, datamodule=data())
    trainer.save_checkpoint(folder / "some.ckpt")
    return module, folder / "some.ckpt"


@pytest.mark.parametrize("lora", [SMALL_LORA, None], ids=["lora", "full"])
def test_all_that_was_trained_comes_back_exactly(tiny_checkpoint: Path, tmp_path: Path, lora: LoRA | None) -> None:
    trained, path = trained_checkpoint(tiny_checkpoint, tmp_path, lora)
    fresh = module_of(tiny_checkpoint, lora)
    before, wanted = ({n: p.clone() for n, p in m.named_parameters()} for m in (fresh, trained))
    assert any(not torch.equal(before[n], wanted[n]) for n in wanted)
    trainer_of(tmp_path).fit(fresh, datamodule=data(), ckpt_path=path)  # its one epoch is done: it only loads
    found = dict(fresh.named_parameters())
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_frozen_weights_stay_out_of_the_file(tiny_checkpoint: Path, tmp_path: Path) -> None:
    module, path = trained_checkpoint(tiny_checkpoint, tmp_path)
    stored = set(torch.load(path, weights_only=False)["state_dict"])
    head = {"contrastive.projection.weight", "contrastive.projection.bias"}
    assert stored == {name for name in module.state_dict() if ".lora_" in name} | head
    assert len(stored) == 30


@pytest.mark.parametrize(
    ("options", "lora", "words"),
    [
        ({"contrastive_weight": 0.0}, SMALL_LORA, "holds the unknown weight contrastive.projection.bias"),
        ({"projection_size": 7}, SMALL_LORA, "has another shape of weight contrastive.projection.bias"),
        ({}, LoRA(rank=3), "has another shape of weight network.*lora_A"),
        ({}, LoRA(rank=2, vision=True), "lacks weight network.*lora_A"),
    ],
)
def test_another_modules_file_is_refused_by_name(
    tiny_checkpoint: Path, tmp_path: Path, options: dict[str, Any], lora: LoRA, words: str
) -> None:
    _, path = trained_checkpoint(tiny_checkpoint, tmp_path)
    other = module_of(tiny_checkpoint, lora, **options)
    with pytest.raises(ValueError, match=words) as caught:
        trainer_of(tmp_path).fit(other, datamodule=data(), ckpt_path=path)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_base_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """All names and shapes are right, and the adapter would change other weights than it was trained on."""
    _, path = trained_checkpoint(tiny_checkpoint, tmp_path)
    other = module_of(build_lookalike(tiny_checkpoint, tmp_path / "other"))
    with pytest.raises(ValueError, match=f"trained on {tiny_checkpoint} .*but model.lvlm.path {tmp_path}/other"):
        trainer_of(tmp_path).fit(other, datamodule=data(), ckpt_path=path)
    # files of older versions do not say which base they belong to
    content = torch.load(path, weights_only=True)
    del content["base"]
    torch.save(content, path)
    trainer_of(tmp_path).fit(module_of(tiny_checkpoint), datamodule=data(), ckpt_path=path)


def two_layers(dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """Layers that begin the same in every call; the second is frozen."""
    torch.manual_seed(0)
    layers = nn.ModuleDict({"trained": nn.Linear(3, 2), "frozen": nn.Linear(2, 2)}).to(dtype)
    layers["frozen"].requires_grad_(False)
    return layers


def test_a_digest_tells_trained_weights_apart() -> None:
    first = trained_digest(two_layers())
    assert first == trained_digest(two_layers())
    changed, moved, named = two_layers(), two_layers(), two_layers()
    with torch.no_grad():
        changed["trained"].bias[1] += 1  # type: ignore[index]
        moved["frozen"].weight.zero_()  # type: ignore[index]
    named["other"] = named.pop("trained")  # type: ignore[operator]
    assert trained_digest(moved) == first
    others = [trained_digest(changed), trained_digest(named), trained_digest(two_layers(torch.float32))]
    assert len({first, *others}) == 4


def test_a_digest_sees_shapes_and_strides_as_values() -> None:
    plain, turned, flat = two_layers(), two_layers(), two_layers()
    weight = plain["trained"].weight.detach()  # type: ignore[index]
    turned["trained"].weight = nn.Parameter(weight.T.contiguous().T)  # type: ignore[index]
    flat["trained"].weight = nn.Parameter(weight.reshape(3, 2))  # type: ignore[index]
    assert turned["trained"].weight.stride() != weight.stride()  # type: ignore[index]
    assert trained_digest(turned) == trained_digest(plain)
    assert trained_digest(flat) != trained_digest(plain)
