"""The modes of a network that is trained."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def train_mode(network: nn.Module) -> nn.Module:
    """Put a network into training mode, but for batch normalisation whose weights are frozen.

    It would take its statistics from each batch, and change those that the checkpoint brought.
    """
    network.train()
    for part in network.modules():
        if isinstance(part, _BatchNorm) and not any(parameter.requires_grad for parameter in part.parameters()):
            part.eval()
    return network


@contextmanager
def eval_mode(network: nn.Module) -> Iterator[None]:
    """Within this context, a network is in eval mode; each of its parts gets its own mode back."""
    before = {part: part.training for part in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for part, was_training in before.items():
            part.training = was_training
