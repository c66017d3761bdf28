"""FSDP2 as a Lightning strategy: weights, gradients and optimizer sharded over all processes of all nodes."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.optim import Optimizer

# full tensors by name, in CPU memory, so that another number of processes can read them
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False)


class FullyShardedStrategy(ModelParallelStrategy):
    """Lightning's strategy, with checkpoints of trained weights only that any number of processes can read.

    A checkpoint is read before training is set up, as with other strategies: callbacks need its state to start.
    """

    lightning_restore_optimizer = True
    restore_checkpoint_after_setup = False

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Shard over all processes of the trainer."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    @property
    def _network(self) -> nn.Module:
        assert self.model is not None
        return self.model

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Full trained weights, on rank zero."""
        return get_model_state_dict(self._network, options=_WHOLE)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Full state by the names of weights, on rank zero."""
        return get_optimizer_state_dict(self._network, optimizer, options=_WHOLE)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """The file's content, in every process."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Shard the weights of a file as those of the module are sharded."""
        set_model_state_dict(self._network, checkpoint["state_dict"], options=_WHOLE)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Shard the optimizer state of a file as the weights are sharded."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            set_optimizer_state_dict(self._network, optimizer, state, options=_WHOLE)
