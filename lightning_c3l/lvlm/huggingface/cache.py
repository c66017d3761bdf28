"""A key-value cache for generation: it grows in place, drops finished rows and takes in new ones."""

from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

# tokens that a full buffer is extended by: few copies, and little of it stays empty
_ROOM = 128


class GrowingLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped here
    """Keys and values of one layer, [B, heads, K, D]: views of larger buffers, so that appending copies nothing."""

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append and return all."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            self._buffers: list[Tensor] = []
            return self.keys, self.values
        used, new = self.keys.shape[-2], key_states.shape[-2]
        if not self._buffers or self._buffers[0].shape[-2] < used + new:
            self._buffers = [_with_room(x, used + new + _ROOM) for x in (self.keys, self.values)]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[:, :, used : used + new] = states
        self.keys, self.values = (buffer[:, :, : used + new] for buffer in self._buffers)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows."""
        self.keys, self.values = self.keys[indices], self.values[indices]
        self._buffers = []

    def append_rows(self, other: "GrowingLayer") -> None:
        """Append the rows of another cache; shorter ones are padded at the end, which the mask hides."""
        length = max(self.keys.shape[-2], other.keys.shape[-2])
        self.keys = torch.cat([_with_room(self.keys, length), _with_room(other.keys, length)])
        self.values = torch.cat([_with_room(self.values, length), _with_room(other.values, length)])
        self._buffers = []


def growing_cache() -> Cache:
    """An empty cache of growing layers."""
    return Cache(layer_class_to_replicate=GrowingLayer)


def append_rows(cache: Cache, other: Cache) -> None:
    """Append the rows of another cache of the same model."""
    for layer, more in zip(cache.layers, other.layers, strict=True):
        layer.append_rows(more)


def _with_room(states: Tensor, length: int) -> Tensor:
    """The same states in a buffer of that length, padded with 0."""
    if states.shape[-2] == length:
        return states
    out = states.new_zeros(*states.shape[:-2], length, states.shape[-1])
    out[:, :, : states.shape[-2]] = states
    return out
