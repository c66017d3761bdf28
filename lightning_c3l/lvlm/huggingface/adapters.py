"""LoRA adapters on the decoder."""

import os
import re
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.output_head import output_embedding


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters on the linear layers of the decoder.

    Attributes:
        rank: rank of each adapter's update.
        alpha: each update is scaled by alpha / rank.
        dropout: dropout probability on the adapters' inputs.
        vision: whether the vision tower and the projector have adapters too.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    vision: bool = False

    def __post_init__(self) -> None:
        """Validate the ranges, which peft does not."""
        for name, value in (("rank", self.rank), ("alpha", self.alpha)):
            if not value > 0:
                raise ValueError(f"lora.{name} must be above 0, not {value}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"lora.dropout must be at least 0 and below 1, not {self.dropout}")


def attach_lora(model: Any, lora: LoRA) -> PeftModel:
    """Wrap a model so that only adapters are trained; new adapters do not change its output."""
    pattern = target_pattern(model, lora.vision)
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=pattern, bias="none"
    )
    # depends on the run's seed only, not on other uses of random numbers before
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed())
        network = get_peft_model(model, config)
    if os.path.isdir(model.name_or_path):
        # peft resolves relative paths in the working folder, which may be another one when the adapter is loaded
        network.peft_config["default"].base_model_name_or_path = os.path.abspath(model.name_or_path)
    return network


# linear layers of Gemma 3n whose weights it reads past the layer while it is trained: an adapter would not take part
_READ_PAST = ("correction_coefs",)


def target_pattern(model: Any, vision: bool) -> str:
    """Regular expression of the linear layers to adapt: those of the decoder, or with `vision` all but the head.

    Raises:
        LVLMError: if the decoder has no linear layer.
    """
    head, decoder = output_embedding(model), set(model.get_decoder().modules())
    names = {
        # any index of a numbered layer, but not of a linear layer that is itself an item of a numbered list
        re.sub(r"(?<=\.)\d+(?=\\\.)", r"\\d+", re.escape(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module is not head
        and (vision or module in decoder)
        and not name.endswith(_READ_PAST)
        # a router of experts returns more than a linear layer does (Llama 4)
        and not type(module).__module__.startswith("transformers.models.")
    }
    if not names:
        raise LVLMError(f"{type(model).__name__}: no linear layer to adapt in the decoder")
    return "|".join(sorted(names))


def adapted_outside_decoder(model: Any) -> list[str]:
    """Names of the layers with adapters outside of the decoder: of vision tower, projector and head."""
    decoder = set(model.get_decoder().modules())
    layers = {name: module for name, module in model.named_modules() if isinstance(module, BaseTunerLayer)}
    return [name for name, module in layers.items() if module not in decoder]
