"""Weights that are sharded over processes: which parts are sharded (FSDP2), and how to gather them temporarily.

Training gathers the weights of a layer when it runs, which works only where all processes run the same layers the same
number of times. Rounds do not: each process has texts of its own to generate. So rounds run on gathered weights, and
the network without gradients and optimizer must fit into the memory of one device.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method


def shard(module: nn.Module, layers: nn.ModuleList, mesh: DeviceMesh) -> None:
    """Shard the weights of a Lightning module over the processes of a mesh.

    Each layer is gathered when it runs. Everything else (embeddings, head, vision tower, projector) is gathered when a
    step begins: it is called piece by piece, partly tied, and not every batch uses it.

    Args:
        module: calls `layers` in `training_step`, and nothing in `forward`.
        layers: layers of the decoder.
        mesh: one-dimensional mesh of the processes.

    Raises:
        ValueError: a weight is quantized, which cannot be sharded.
    """
    for name, parameter in module.named_parameters():
        if not parameter.dtype.is_floating_point:
            raise ValueError(
                f"strategy: {name} is quantized and cannot be sharded over processes: leave quantize out, or use "
                "experiments/hardware/ddp8.yaml"
            )
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(module, "training_step")
    # newer than the oldest supported torch
    reduce_unused = getattr(module, "set_reduce_scatter_unused_params", None)
    if reduce_unused is not None:
        # otherwise a process whose batch has no image would reduce fewer gradients than the others
        reduce_unused(True, recurse=False)


def announce_backward(output: Tensor, earlier: Tensor, layers: Iterable[nn.Module]) -> Tensor:
    """The output of a second pass through sharded layers, whose backward pass begins at the first pass' output too.

    FSDP2 gathers a layer for the backward pass when a gradient reaches the layer's output. Where only the keys and
    values of the first pass are used, by the second one, none reaches the output of the first pass' last layer: its
    weights would be missing.

    Args:
        output: of the second pass.
        earlier: of the first pass.
        layers: that both passes ran.
    """
    if not torch.is_grad_enabled() or not any(isinstance(layer, FSDPModule) for layer in layers):
        return output
    return _ZeroGradient.apply(output, earlier)  # type: ignore[no-untyped-call,no-any-return]


class _ZeroGradient(torch.autograd.Function):
    """The first tensor as it is; the second one gets a gradient of zeros."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, earlier: Tensor) -> Tensor:
        ctx.shape = earlier.shape
        return output.view_as(output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        return grad, grad.new_zeros(ctx.shape)


@contextmanager
def gathered(root: nn.Module) -> Iterator[None]:
    """Context in which every process has all weights of a module that `shard` has sharded. Collective on entry.

    Backward passes inside it are this process' own: weights stay whole after them, and no gradient is reduced.
    """
    parts = [part for part in root.modules() if isinstance(part, FSDPModule)]
    root()  # FSDP2 makes the module of the first forward the root
    for part in parts:
        part.unshard()
        part.set_reshard_after_backward(False, recurse=False)
        part.set_requires_gradient_sync(False, recurse=False)
        if part is not root:
            part.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for part in parts:
            part.set_reshard_after_backward(True, recurse=False)
            part.set_requires_gradient_sync(True, recurse=False)
            if part is not root:
                part.set_reshard_after_forward(True, recurse=False)
            part.reshard()


@contextmanager
def gathered_zero3(engine: Any) -> Iterator[None]:
    """Context in which every process has all weights of a DeepSpeed engine at ZeRO stage 3. Collective."""
    import deepspeed

    offload = engine.optimizer.parameter_offload
    with deepspeed.zero.GatheredParameters(list(engine.module.parameters())):
        # its hooks would release each layer's weights as soon as the layer has run
        for hook in (*offload.forward_hooks, *offload.backward_hooks):
            hook.remove()
        offload.forward_hooks.clear()
        offload.backward_hooks.clear()
        try:
            yield
        finally:
            offload._register_deepspeed_module(offload.module)


@contextmanager
def gathered_parameters(parameters: Iterable[nn.Parameter]) -> Iterator[None]:
    """Context in which the weights that DeepSpeed has partitioned at stage 3 are whole, for reading. Collective."""
    split = [one for one in parameters if one.numel() != getattr(one, "ds_numel", one.numel())]
    if not split:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(split):
        yield


def whole_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict of a network whose weights are gathered; `state_dict` itself would make FSDP shard them again."""
    state = dict[str, Tensor]()
    for prefix, part in network.named_modules(remove_duplicate=False):
        own = {**part._parameters, **part._buffers}
        for name, value in own.items():
            if value is not None and name not in part._non_persistent_buffers_set:
                state[f"{prefix}.{name}" if prefix else name] = value.detach()
    return state
