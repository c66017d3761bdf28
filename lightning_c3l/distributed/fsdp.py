"""Weights that are split over processes: which parts are split (FSDP2), and how they are made whole for a while.

Training gathers the weights of a layer when its turn comes, which works only where all processes run the same layers
the same number of times. Rounds do not: each process has texts of its own to write. So rounds run on whole weights,
and the network without gradients and optimizer must fit into one device.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method


def shard(module: nn.Module, layers: nn.ModuleList, mesh: DeviceMesh) -> None:
    """Split the weights of a Lightning module over the processes of a mesh.

    Each layer is gathered when it runs. All else (embeddings, head, vision tower, projector) is gathered when a step
    begins: it is called piece by piece, partly tied, and not every batch has a use for it.

    Args:
        module: calls `layers` in `training_step`, and nothing in `forward`.
        layers: of the decoder.
        mesh: the processes, in one dimension.

    Raises:
        ValueError: if there are weights of a kind that cannot be split.
    """
    for name, parameter in module.named_parameters():
        if not parameter.dtype.is_floating_point:
            raise ValueError(
                f"strategy: {name} is kept in few bits, which cannot be split over processes: leave quantize out, or "
                "take experiments/hardware/ddp8.yaml"
            )
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(module, mesh=mesh)
    register_fsdp_forward_method(module, "training_step")
    # newer than the oldest torch that this package takes
    reduce_unused = getattr(module, "set_reduce_scatter_unused_params", None)
    if reduce_unused is not None:
        # a process whose batch has no picture would else reduce fewer gradients than the others
        reduce_unused(True, recurse=False)


@contextmanager
def gathered(root: nn.Module) -> Iterator[None]:
    """Inside, every process has all weights of a module that `shard` has split. Collective on entry."""
    parts = [part for part in root.modules() if isinstance(part, FSDPModule)]
    root()  # which part is the root is settled by what runs first
    for part in parts:
        part.unshard()
        if part is not root:
            part.set_reshard_after_forward(False, recurse=False)
    try:
        yield
    finally:
        for part in parts:
            if part is not root:
                part.set_reshard_after_forward(True, recurse=False)
            part.reshard()


@contextmanager
def gathered_zero3(engine: Any) -> Iterator[None]:
    """Inside, every process has all weights of a DeepSpeed engine at ZeRO stage 3. Collective on entry and on exit."""
    import deepspeed

    offload = engine.optimizer.parameter_offload
    with deepspeed.zero.GatheredParameters(list(engine.module.parameters())):
        # its hooks would give each layer's weights back as soon as the layer has run
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
    """Inside, those of these weights that DeepSpeed has split at stage 3 are whole, to be read. Collective."""
    split = [one for one in parameters if one.numel() != getattr(one, "ds_numel", one.numel())]
    if not split:
        yield
        return
    import deepspeed

    with deepspeed.zero.GatheredParameters(split):
        yield


def whole_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict of a network whose weights are whole; `state_dict` itself would have FSDP split them again."""
    state = dict[str, Tensor]()
    for prefix, part in network.named_modules(remove_duplicate=False):
        own = {**part._parameters, **part._buffers}
        for name, value in own.items():
            if value is not None and name not in part._non_persistent_buffers_set:
                state[f"{prefix}.{name}" if prefix else name] = value.detach()
    return state
