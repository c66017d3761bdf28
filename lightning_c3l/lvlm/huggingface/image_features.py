"""Image features as a model's own forward takes them: whole, since some families have more than one vector a token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

# of a tower's output: what differs from image to image and is not passed on as it is
_PER_IMAGE = ("pooler_output", "deepstack_features", "last_hidden_state", "hidden_states", "attentions")


@dataclass(frozen=True)
class OutputForm:
    """How a model lays out what `get_image_features` returns.

    Attributes:
        kind: class of the output.
        shared: fields that are the same for all images.
        is_list: `pooler_output` lists images; otherwise it is a tensor of so many `dimensions`.
        is_nested: each layer of `deepstack_features` lists images.
        dimensions: of a `pooler_output` that is a tensor.
    """

    kind: type[Any]
    shared: dict[str, Any]
    is_list: bool
    is_nested: bool
    dimensions: int


@dataclass(frozen=True)
class ImageFeatures:
    """What `get_image_features` returns, for images side by side.

    Attributes:
        pooled: vectors that take the place of image tokens, image by image, [M, H].
        deepstack: vectors that deeper layers add at the same positions (Qwen3-VL), [M, H] for each of these layers.
        form: how the model lays them out.
    """

    pooled: Tensor
    deepstack: tuple[Tensor, ...]
    form: OutputForm

    @classmethod
    def from_output(cls, output: Any) -> Self:
        """Flatten an output of `get_image_features`, which lists images, tiles or nothing of the kind."""
        deepstack: Any = getattr(output, "deepstack_features", None) or []
        pooled, nested = output.pooler_output, not all(isinstance(layer, Tensor) for layer in deepstack)
        shared = {name: value for name, value in output.items() if name not in _PER_IMAGE}
        form = OutputForm(type(output), shared, not isinstance(pooled, Tensor), nested, getattr(pooled, "ndim", 2))
        return cls(_flat(pooled), tuple(_flat(layer) for layer in deepstack), form)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """The features of several images one after the other."""
        deepstack = zip(*(part.deepstack for part in parts), strict=True)
        pooled = torch.cat([part.pooled for part in parts])
        return cls(pooled, tuple(torch.cat(layer) for layer in deepstack), parts[0].form)

    def split(self, counts: Sequence[int]) -> list[Self]:
        """The features of each image, given their numbers of image tokens."""
        pooled = torch.split(self.pooled, list(counts))
        deepstack = [torch.split(layer, list(counts)) for layer in self.deepstack]
        return [type(self)(part, tuple(layer[n] for layer in deepstack), self.form) for n, part in enumerate(pooled)]

    def clone(self) -> Self:
        """A copy that does not keep the other images of its batch in memory."""
        return type(self)(self.pooled.clone(), tuple(layer.clone() for layer in self.deepstack), self.form)

    def as_output(self) -> Any:
        """The output in the form in which the model returned it."""
        form, leading = self.form, [1] * (self.form.dimensions - 2)
        pooled: Any = [self.pooled] if form.is_list else self.pooled.view(*leading, *self.pooled.shape)
        deepstack = [[layer] if form.is_nested else layer for layer in self.deepstack]
        deeper = {"deepstack_features": deepstack} if deepstack else {}
        return form.kind(**form.shared, **deeper, last_hidden_state=None, pooler_output=pooled)

    def __len__(self) -> int:
        """Number M of image tokens."""
        return len(self.pooled)


def _flat(features: Any) -> Tensor:
    parts = [features] if isinstance(features, Tensor) else list(features)
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])
