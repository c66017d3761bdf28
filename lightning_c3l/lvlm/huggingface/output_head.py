"""The step from hidden states to logits, with what a model does after its output embedding."""

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class OutputHead:
    """Logits from the output embedding's own ones: scaled (Cohere, Granite), then soft-capped (Gemma).

    Attributes:
        scale: factor.
        cap: c of c * tanh(logits / c); None for no cap.
    """

    scale: float = 1.0
    cap: float | None = None

    def __call__(self, model: Any, states: Tensor) -> Tensor:
        """Next-token logits in float32, [..., V], of hidden states [..., H]."""
        return self.finish(model.get_output_embeddings()(states))

    def finish(self, raw: Tensor) -> Tensor:
        """Next-token logits in float32 from what the output embedding returns, [..., V]."""
        logits = raw.float()
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
        options = [cls(scale, cap) for scale in scales for cap in caps]
        return min(options, key=lambda one: float((one.finish(raw) - logits).norm()))
