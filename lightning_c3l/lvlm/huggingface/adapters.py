"""LoRA on the decoder, and the reference: the starting model beside the one being trained."""

import copy
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from lightning_c3l.lvlm.base import LVLMError


@dataclass(frozen=True)
class LoRA:
    """Low-rank adapters on the linear layers of the decoder.

    Attributes:
        rank: rank of each update.
        alpha: the update counts alpha / rank times.
        dropout: on the adapters' input.
        vision: adapt the vision tower and the projector too.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.0
    vision: bool = False

    def __post_init__(self) -> None:
        """Refuse ranks that peft would only trip over later."""
        for name, value in (("rank", self.rank), ("alpha", self.alpha)):
            if not value > 0:
                raise ValueError(f"lora.{name} must be above 0, not {value}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"lora.dropout must be at least 0 and below 1, not {self.dropout}")


def attach_lora(model: Any, lora: LoRA) -> PeftModel:
    """Wrap a model so that only adapters are trained; the fresh adapters change nothing."""
    pattern = target_pattern(model, lora.vision)
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=pattern, bias="none"
    )
    # from the run's seed alone: the same adapter whatever else has used random numbers before
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed())
        network = get_peft_model(model, config)
    if os.path.isdir(model.name_or_path):
        # peft looks for the base in the working folder, which may be another one when the adapter is loaded
        network.peft_config["default"].base_model_name_or_path = os.path.abspath(model.name_or_path)
    return network


def target_pattern(model: Any, vision: bool) -> str:
    """Regular expression of the linear layers to adapt: the decoder's, or all but the head.

    Raises:
        LVLMError: if the decoder has no linear layer.
    """
    head, decoder = model.get_output_embeddings(), set(model.get_decoder().modules())
    names = {
        # layers by any number, but a linear layer that is itself one of a numbered list by its own
        re.sub(r"(?<=\.)\d+(?=\\\.)", r"\\d+", re.escape(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head and (vision or module in decoder)
    }
    if not names:
        raise LVLMError(f"{type(model).__name__}: no linear layer to adapt was found in the decoder")
    return "|".join(sorted(names))


class Reference:
    """The starting model: the same network with its adapters off, or a frozen copy under full fine-tuning."""

    def __init__(self, network: Any, keep_copy: bool) -> None:
        self.network = network
        self._copy = None
        if keep_copy and not isinstance(network, PeftModel):
            self._copy = copy.deepcopy(network).requires_grad_(False).eval()

    @contextmanager
    def active(self) -> Iterator[Any]:
        """The transformers model to use for the reference's figures.

        Raises:
            LVLMError: under full fine-tuning without a kept copy.
        """
        if isinstance(self.network, PeftModel):
            with self.network.disable_adapter():
                yield self.network.get_base_model()
        elif self._copy is not None:
            yield self._copy.to(self.network.device)
        else:
            raise LVLMError("full fine-tuning has no adapter to switch off: set keep_reference or scorer: current")
