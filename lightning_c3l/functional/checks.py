"""What every function on padded batches checks of its tensors."""

import torch
from torch import Tensor


def require_shape(name: str, value: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse a tensor of another shape, by its name."""
    if tuple(value.shape) != shape:
        raise ValueError(f"{name} has shape {tuple(value.shape)}, expected {shape}")


def require_tokens(mask: Tensor, what: str) -> None:
    """Refuse a boolean mask `[B, T]` with an empty row; `what` names the tokens it masks."""
    if empty := (~mask.any(dim=1)).nonzero().flatten().tolist():
        raise ValueError(f"rows {empty} have no {what}")


def at_least_float32(x: Tensor) -> Tensor:
    """The tensor in float32, or as it is in float64, so that long sums keep their digits."""
    return x if x.dtype == torch.float64 else x.float()


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of each row `[B, T]` over its masked positions, `[B]`; the others may hold anything."""
    # Filling, not multiplying: nan * 0 is nan.
    return values.masked_fill(~mask, 0.0).sum(dim=1) / mask.sum(dim=1)
