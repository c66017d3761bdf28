"""The output of a layer of the decoder, taken from a forward."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.output_head import output_embedding


def layer_at(model: Any, depth: float) -> int | None:
    """The layer, counted from 1, at this share of the decoder's layers; None for the last one.

    Raises:
        LVLMError: if the decoder does not list its layers.
    """
    if depth == 1:  # whatever the model calls its layers
        return None
    layers = getattr(model.get_decoder(), "layers", None)
    if layers is None:
        raise LVLMError(f"{type(model).__name__}: its decoder lists no layers: set loss.layer to 1")
    count = len(layers)
    layer = max(1, round(depth * count))
    return None if layer == count else layer


@contextmanager
def layer_output(model: Any, layer: int | None) -> Iterator[list[Tensor]]:
    """Within this context, a forward leaves the output of a layer in the list, [B, L, H].

    Args:
        model: the transformers model.
        layer: which one, counted from 1; None leaves the list empty.

    Raises:
        LVLMError: if the layer does not give hidden states of the size of the last ones.
    """
    states = list[Tensor]()
    if layer is None:
        yield states
        return

    def note(_: nn.Module, __: Any, output: Any) -> None:
        found = output[0] if isinstance(output, tuple) else output
        if found.ndim != 3 or found.shape[-1] != output_embedding(model).in_features:
            raise LVLMError(f"{type(model).__name__}: layer {layer} gives no hidden states: set loss.layer to 1")
        states.append(found)

    hook = model.get_decoder().layers[layer - 1].register_forward_hook(note)
    try:
        yield states
    finally:
        hook.remove()
