"""Loading: where the weights go, in which precision, with or without adapters, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

import lightning_c3l
from lightning_c3l.lvlm.base import GenerationRequest, LVLMError, Sampling
from tests.helpers.tiny import awaken_adapter, pictures

GREEDY = Sampling(1, 6, 0.0)


def said(lvlm: Any) -> list[list[str]]:
    return lvlm.generate([GenerationRequest("What is there?", image) for image in pictures(2)], GREEDY)  # type: ignore[no-any-return]


def test_without_adapters_it_is_loaded_once_and_on_the_cpu_in_float32(tiny_checkpoint: Path) -> None:
    lvlm = lightning_c3l.load(str(tiny_checkpoint), device="cpu")
    assert (lvlm.dtype, lvlm.saved_as) == (torch.float32, "model")
    with pytest.raises(LVLMError, match="keep_reference"), lvlm.reference():
        pass
    kept = lightning_c3l.load(str(tiny_checkpoint), device="cpu", keep_reference=True)
    with kept.reference():
        assert said(kept) == said(lvlm)


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_precision(tiny_checkpoint: Path, dtype: Any) -> None:
    assert lightning_c3l.load(str(tiny_checkpoint), device="cpu", dtype=dtype).dtype == torch.bfloat16


def test_new_adapters_change_nothing_and_a_folder_of_trained_ones_is_loaded_like_a_checkpoint(
    tiny_checkpoint: Path, tmp_path: Path
) -> None:
    plain = lightning_c3l.load(str(tiny_checkpoint), device="cpu")
    lvlm = lightning_c3l.load(str(tiny_checkpoint), device="cpu", lora=lightning_c3l.LoRA(rank=2))
    assert lvlm.saved_as == "adapter"
    assert any(parameter.requires_grad for parameter in lvlm.network.parameters())
    assert not any(part.training for part in lvlm.network.modules())
    assert said(lvlm) == said(plain)
    awaken_adapter(lvlm)
    lvlm.save(tmp_path / "adapter")
    tuned = lightning_c3l.load(str(tmp_path / "adapter"), device="cpu")
    assert said(tuned) == said(lvlm) != said(plain)


def test_the_device_is_that_asked_for(tiny_checkpoint: Path) -> None:
    lvlm = lightning_c3l.load(str(tiny_checkpoint), device=torch.device("meta"))
    assert {parameter.device.type for parameter in lvlm.network.parameters()} == {"meta"}


@pytest.mark.parametrize(
    ("path", "options", "message"),
    [
        ("no/such/folder", {}, "no/such/folder: no such folder"),
        ("shipped:scenes", {"device": "gpu"}, "device: 'gpu' is none that PyTorch knows"),
        ("shipped:scenes", {"device": "cuda:99"}, "there is no cuda:99"),
        ("shipped:scenes", {"dtype": "int8"}, "dtype must be one of float32, bfloat16, float16, not int8"),
    ],
)
def test_what_is_refused(path: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        lightning_c3l.load(path, **options)
    assert "\n" not in str(caught.value)
