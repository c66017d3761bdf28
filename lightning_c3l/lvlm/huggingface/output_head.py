"""The step from hidden states to logits, with what a model does after its output embedding."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from lightning_c3l.lvlm.base import LVLMError


def output_embedding(model: Any) -> nn.Module:
    """The output embedding of a model, or of the first of its parts that names one (Nemotron 3 Omni).

    Raises:
        LVLMError: if there is none.
    """
    for part in (model, *model.children()):
        head = part.get_output_embeddings() if hasattr(part, "get_output_embeddings") else None
        if isinstance(head, nn.Module):
            return head
    raise LVLMError(f"{type(model).__name__} has no output embedding, so it gives no probabilities of tokens")


@dataclass(frozen=True)
class OutputHead:
    """Logits from what the output embedding returns: cut, scaled (Cohere, Granite), then soft-capped (Gemma).

    Attributes:
        scale: factor.
        cap: c of c * tanh(logits / c); None for no cap.
        size: number of logits that are kept (Inkling pads its vocabulary); None for all.
    """

    scale: float = 1.0
    cap: float | None = None
    size: int | None = None

    def __call__(self, model: Any, states: Tensor) -> Tensor:
        """Next-token logits in float32, [..., V], of hidden states [..., H]."""
        return self.finish(output_embedding(model)(states))

    def finish(self, raw: Tensor) -> Tensor:
        """Next-token logits in float32 from what the output embedding returns, [..., V]."""
        logits = raw[..., : self.size].float()
        if self.scale != 1:
            logits = logits * self.scale
        return logits if self.cap is None else self.cap * torch.tanh(logits / self.cap)

    @classmethod
    def fit(cls, config: Any, raw: Tensor, logits: Tensor) -> Self:
        """The options, among those that a text configuration names, that turn `raw` into the model's `logits`.

        A configuration does not decide alone: Aya Vision has Cohere's `logit_scale` and does not use it.
        """
        scale, division = getattr(config, "logit_scale", None), getattr(config, "logits_scaling", None)
        scales = {1.0, *([scale] if scale else []), *([1 / division] if division else [])}
        caps = {None, getattr(config, "final_logit_softcapping", None)}
        size = None if raw.shape == logits.shape else logits.shape[-1]
        options = [cls(scale, cap, size) for scale in scales for cap in caps]
        return min(options, key=lambda one: float((one.finish(raw) - logits).norm()))
