"""Image features as a model's own forward takes them: whole, since some families have more than one vector a token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

# of a tower's output: what differs from image to image and is not passed on as it is
_PER_IMAGE = ("pooler_output", "deepstack_features", "last_hidden_state", "hidden_states", "attentions")


@dataclass(frozen=True)
class ImageFeatures:
    """What `get_image_features` returns, for images side by side.

    Attributes:
        pooled: vectors that take the place of image tokens, image by image, [M, H].
        deepstack: vectors that deeper layers add at the same positions (Qwen3-VL), [M, H] for each of these layers.
        template: output with the fields that are the same for all images, and its containers.
    """

    pooled: Tensor
    deepstack: tuple[Tensor, ...]
    template: Any

    @classmethod
    def from_output(cls, output: Any) -> Self:
        """Flatten an output of `get_image_features`, which lists images, tiles or nothing of the kind."""
        deepstack = getattr(output, "deepstack_features", None) or ()
        kept = {name: value for name, value in output.items() if name not in _PER_IMAGE}
        listed = not isinstance(output.pooler_output, Tensor), bool(deepstack) and not isinstance(deepstack[0], Tensor)
        dimensions = 2 if listed[0] else output.pooler_output.ndim
        template = (type(output), kept, listed, dimensions)
        return cls(_flat(output.pooler_output), tuple(_flat(layer) for layer in deepstack), template)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The features of several images one after the other."""
        deepstack = zip(*(part.deepstack for part in parts), strict=True)
        pooled = torch.cat([part.pooled for part in parts])
        return cls(pooled, tuple(torch.cat(layer) for layer in deepstack), parts[0].template)

    def split(self, counts: Sequence[int]) -> list[Self]:
        """The features of each image, given their numbers of image tokens."""
        pooled = self.pooled.split(list(counts))
        deepstack = [layer.split(list(counts)) for layer in self.deepstack]
        return [
            type(self)(part, tuple(layer[n] for layer in deepstack), self.template) for n, part in enumerate(pooled)
        ]

    def clone(self) -> Self:
        """A copy that does not keep the other images of its batch in memory."""
        return type(self)(self.pooled.clone(), tuple(layer.clone() for layer in self.deepstack), self.template)

    def as_output(self) -> Any:
        """The output in the form in which the model returned it."""
        kind, kept, (listed, listed_deepstack), dimensions = self.template
        pooled: Any = [self.pooled] if listed else self.pooled.view(*[1] * (dimensions - 2), *self.pooled.shape)
        if not self.deepstack:
            return kind(**kept, pooler_output=pooled)
        deepstack = [[layer] if listed_deepstack else layer for layer in self.deepstack]
        return kind(**kept, pooler_output=pooled, deepstack_features=deepstack)

    def __len__(self) -> int:
        """Number M of image tokens."""
        return len(self.pooled)


def _flat(features: Any) -> Tensor:
    parts = [features] if isinstance(features, Tensor) else list(features)
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
