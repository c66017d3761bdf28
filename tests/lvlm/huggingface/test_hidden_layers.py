"""Which layer a share of the decoder's layers is, and what is refused as one."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.hidden_layers import layer_at, layer_output


class Halving(nn.Module):
    """A layer that returns half of its features, or all of them beside something else."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, states: Tensor) -> Any:
        return (states + 1, None) if self.size == states.shape[-1] else states[..., : self.size]


class Stack(nn.Module):
    """A model of layers on features of size 4."""

    def __init__(self, *sizes: int) -> None:
        super().__init__()
        self.layers, self.head = nn.ModuleList(map(Halving, sizes)), nn.Linear(4, 9)

    def get_decoder(self) -> nn.Module:
        return self

    def get_output_embeddings(self) -> nn.Module:
        return self.head


@pytest.mark.parametrize(
    ("count", "depth", "layer"),
    [(4, 0.5, 2), (4, 0.75, 3), (4, 0.01, 1), (4, 0.95, None), (4, 1.0, None), (1, 0.5, None), (32, 0.5, 16)],
)
def test_a_depth_is_a_share_of_the_layers(count: int, depth: float, layer: int | None) -> None:
    assert layer_at(Stack(*[4] * count), depth) == layer


def test_a_decoder_without_a_list_of_layers_has_the_last_one_alone() -> None:
    model = SimpleNamespace(get_decoder=lambda: SimpleNamespace())
    assert layer_at(model, 1.0) is None
    with pytest.raises(LVLMError, match=r"lists no layers: set loss\.layer to 1"):
        layer_at(model, 0.5)


def test_the_output_of_a_layer_is_noted_within_the_context() -> None:
    model, states = Stack(4, 4), torch.zeros(1, 2, 4)
    with layer_output(model, 2) as found:
        model.layers[0](states)
        model.layers[1](states)
    model.layers[1](states)
    assert len(found) == 1
    assert torch.equal(found[0], torch.ones(1, 2, 4))
    with layer_output(model, None) as found:
        model.layers[1](states)
    assert found == []


def test_a_layer_of_another_size_is_refused() -> None:
    model, states = Stack(2, 4), torch.zeros(1, 2, 4)
    refused = pytest.raises(LVLMError, match=r"Stack: layer 1 gives no hidden states: set loss\.layer to 1")
    with refused, layer_output(model, 1):
        model.layers[0](states)
    # the hook has gone with the error
    assert model.layers[0](states).shape == (1, 2, 2)
