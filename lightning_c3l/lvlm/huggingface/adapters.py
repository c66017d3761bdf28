"""LoRA on the decoder, and the reference: the starting model beside the one being trained."""

import copy
import json
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from lightning_c3l.lvlm.base import LVLMError

# of an adapter folder
_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


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
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise ValueError("lora: rank and alpha must be positive and dropout must lie in [0, 1)")


def attach_lora(model: Any, lora: LoRA) -> PeftModel:
    """Wrap a model so that only adapters are trained; the fresh adapters change nothing."""
    pattern = target_pattern(model, lora.vision)
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=pattern, bias="none"
    )
    # from the run's seed alone: the same adapter whatever else has used random numbers before
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch.initial_seed())
        return get_peft_model(model, config)


def base_of(path: str) -> str | None:
    """Checkpoint that an adapter folder belongs to; None where the path is no such folder.

    Raises:
        LVLMError: if the folder does not say, or holds no weights that can be read safely.
    """
    file = Path(path) / _CONFIG
    if not file.is_file():
        return None
    try:
        base = json.loads(file.read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (ValueError, KeyError, TypeError) as error:
        raise LVLMError(f"{file}: names no base_model_name_or_path") from error
    if not isinstance(base, str) or not base:
        raise LVLMError(f"{file}: names no base_model_name_or_path")
    if not (Path(path) / _WEIGHTS).is_file():
        raise LVLMError(f"{path}: has no {_WEIGHTS}")
    return base


def attach_trained(model: Any, path: str) -> PeftModel:
    """A model with a trained adapter of a folder; exact, while weights that it is folded into would be rounded.

    Raises:
        LVLMError: if they do not belong together.
    """
    try:
        with warnings.catch_warnings():
            # peft only warns of weights that the file lacks
            warnings.filterwarnings("error", message=".*missing adapter keys.*")
            return PeftModel.from_pretrained(model, path).requires_grad_(False)
    except (ValueError, RuntimeError, UserWarning) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise LVLMError(f"{path}: the adapter does not fit its base: {reason}") from error


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
