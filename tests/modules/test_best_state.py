import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from peft import PeftModel
from safetensors.torch import load_file
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from transformers import AutoModelForImageTextToText

from lightning_c3l.distributed import fsdp
from lightning_c3l.modules.best_state import BestState
from lightning_c3l.modules.c3l import C3LModule
from lightning_c3l.runs.digests import trained_digest
from tests.helpers.ranks import run_ranks
from tests.helpers.tiny import SMALL_LORA, load_tiny


def shift(module: nn.Module, amount: float) -> None:
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.requires_grad:
                parameter.add_(amount)


def values(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("lora", [SMALL_LORA, None])
def test_kept_weights_come_back_bit_for_bit(lora, tiny_checkpoint, tmp_path):
    module = C3LModule(load_tiny(tiny_checkpoint, lora))
    best = BestState(tmp_path / "best")
    assert best.known() is None
    before = values(module)
    best.keep(module, {"round": 2, "held_out": 0.5})
    assert best.known() == {"round": 2, "held_out": 0.5}
    shift(module, 0.125)
    assert any(not torch.equal(value, before[name]) for name, value in values(module).items())
    assert best.put_back(module) == {"round": 2, "held_out": 0.5}
    assert all(torch.equal(value, before[name]) for name, value in values(module).items())


def test_a_state_that_is_gone_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"best: best state missing, cannot roll back.*guard\.action"):
        BestState(tmp_path / "best").put_back(nn.Linear(1, 1))


def test_a_later_state_replaces_it(tiny_checkpoint, tmp_path):
    module, best = C3LModule(load_tiny(tiny_checkpoint)), BestState(tmp_path / "best")
    best.keep(module, {"round": 0})
    shift(module, 0.25)
    later = values(module)
    best.keep(module, {"round": 1})
    shift(module, 0.25)
    best.put_back(module)
    assert best.known() == {"round": 1}
    assert all(torch.equal(value, later[name]) for name, value in values(module).items())
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_it_is_an_adapter_folder_without_the_frozen_weights(tiny_checkpoint, tmp_path):
    module = C3LModule(load_tiny(tiny_checkpoint))
    BestState(tmp_path / "best").keep(module, {"round": 0})
    base = AutoModelForImageTextToText.from_pretrained(tiny_checkpoint)
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "best"))
    own = {name: value for name, value in module.network.named_parameters() if "lora_" in name}
    assert own
    read = dict(loaded.named_parameters())
    assert all(torch.equal(read[name], value) for name, value in own.items())
    frozen = sum(p.numel() * 4 for p in module.parameters() if not p.requires_grad)
    assert (tmp_path / "best" / "trained-weights.safetensors").stat().st_size < frozen / 4


def test_weights_of_another_adapter_are_refused(tiny_checkpoint, tmp_path):
    best = BestState(tmp_path / "best")
    best.keep(C3LModule(load_tiny(tiny_checkpoint)), {"round": 0})
    other = C3LModule(load_tiny(tiny_checkpoint, type(SMALL_LORA)(rank=3, alpha=4)))
    before = values(other)
    with pytest.raises(ValueError, match="best: holds weights of another LVLM"):
        best.put_back(other)
    assert all(torch.equal(value, before[name]) for name, value in values(other).items())


def check_split(rank: int, folder: str) -> None:
    """Weights that are split over the ranks are kept whole, by the first, and come back split."""
    torch.manual_seed(0)  # the projection head begins alike in all ranks
    module = C3LModule(load_tiny(Path(folder) / "checkpoint"))
    began, digest = values(module), trained_digest(module)
    fsdp.shard(module, module.lvlm.model.get_decoder().layers, init_device_mesh("cpu", (dist.get_world_size(),)))
    module.whole_weights = lambda: fsdp.gathered(module)  # what it does in a run
    module.lvlm.save = lambda folder: None  # of the weights alone here
    best = BestState(Path(folder) / "best")
    best.keep(module, {"round": 1})
    kept = load_file(best.folder / "trained-weights.safetensors")
    assert kept
    assert all(torch.equal(value, began[name]) for name, value in kept.items())
    shift(module, 0.125)
    assert trained_digest(module) != digest
    assert best.put_back(module) == {"round": 1}
    assert trained_digest(module) == digest
    assert all(isinstance(parameter, DTensor) for parameter in module.parameters())


def test_weights_that_are_split_over_processes(tiny_checkpoint, tmp_path):
    shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint")
    run_ranks(check_split, str(tmp_path))


def test_the_note_is_plain_json(tiny_checkpoint, tmp_path):
    BestState(tmp_path / "best").keep(C3LModule(load_tiny(tiny_checkpoint)), {"round": 3, "held_out": None})
    noted = json.loads((tmp_path / "best" / "state.json").read_text())
    assert {name: noted[name] for name in ("round", "held_out")} == {"round": 3, "held_out": None}


def test_weights_that_are_damaged_or_empty_are_refused_by_name(tiny_checkpoint, tmp_path):
    module, best = C3LModule(load_tiny(tiny_checkpoint)), BestState(tmp_path / "best")
    best.keep(module, {"round": 3})
    before, file = values(module), tmp_path / "best" / "trained-weights.safetensors"
    whole = file.read_bytes()
    # the last byte of the last weight
    for content in (whole[:-1] + bytes([whole[-1] ^ 1]), whole[:100], b""):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"{file}: damaged, its digest.*guard\.action: warn"):
            best.put_back(module)
    assert all(torch.equal(value, before[name]) for name, value in values(module).items())
    # one that an older version kept
    file.write_bytes(whole)
    (tmp_path / "best" / "state.json").write_text('{"round": 3}')
    assert best.put_back(module) == {"round": 3}
    file.write_bytes(whole[:-1])
    with pytest.raises(ValueError, match=f"{file}: not a whole safetensors file"):
        best.put_back(module)
