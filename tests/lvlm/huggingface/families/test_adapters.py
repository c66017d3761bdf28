"""Which layers are adapted, and adapters on disk."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from PIL.Image import Image
from torch import nn
from transformers import AutoModelForImageTextToText

from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from tests.helpers.families import Family
from tests.helpers.families.native import Native
from tests.helpers.families.samples import PAIRS


def test_a_saved_adapter_loads_on_a_fresh_base(
    checkpoint: Path, lvlm: HuggingFaceLVLM, native: Native, images: list[Image], tmp_path: Path
) -> None:
    lvlm.save(tmp_path)
    base = AutoModelForImageTextToText.from_pretrained(checkpoint).eval()
    question, answer = PAIRS[0][1]
    with torch.no_grad():
        start = Native(native.family, lvlm.processor, base).answer(question, answer, images[1]).logp()
        loaded = PeftModel.from_pretrained(base, str(tmp_path)).eval().get_base_model()
        again = Native(native.family, lvlm.processor, loaded).answer(question, answer, images[1]).logp()
        mine = native.answer(question, answer, images[1]).logp()
    torch.testing.assert_close(again, mine, atol=1e-5, rtol=1e-5)
    assert float((start - mine).abs().max()) > 0.01


def linears(model: nn.Module, *prefixes: str) -> set[str]:
    return {
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith(tuple(f"{prefix}." for prefix in prefixes))
    }


@pytest.mark.parametrize("vision", [False, True], ids=["decoder", "vision"])
def test_adapted_layers(name: str, checkpoint: Path, family: Family, vision: bool) -> None:
    network = HuggingFaceLVLM(str(checkpoint), lora=LoRA(rank=2, vision=vision)).network
    trained = {key for key, parameter in network.named_parameters() if parameter.requires_grad}
    assert all(".lora_" in key for key in trained)
    adapted = {key.removeprefix("base_model.model.").split(".lora_")[0] for key in trained}
    model = AutoModelForImageTextToText.from_pretrained(checkpoint)
    assert family.decoder is not None
    assert family.tower is not None
    assert family.projector is not None
    parts = (family.decoder, family.tower, family.projector) if vision else (family.decoder,)
    assert adapted == linears(model, *parts)
    assert linears(model, family.decoder)
    assert linears(model, family.tower)
    # Gemma's projector is one bare matrix
    assert bool(linears(model, family.projector)) == (name != "gemma-3")
