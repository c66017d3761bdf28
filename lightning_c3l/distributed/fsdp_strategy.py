"""FSDP2 as a strategy of Lightning: weights, gradients and optimizer split over all processes of all nodes."""

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

# whole tensors by name, in memory of the CPU: so another number of processes can read them
_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True, strict=False)


class FullyShardedStrategy(ModelParallelStrategy):
    """Lightning's own, with checkpoints that every process count can read and that hold trained weights alone.

    A checkpoint is read before training is set up, as with other strategies: callbacks need its state to begin.
    """

    lightning_restore_optimizer = True
    restore_checkpoint_after_setup = False

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Take all processes, however many the trainer has been given."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    @property
    def _network(self) -> nn.Module:
        assert self.model is not None
        return self.model

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Whole trained weights, in the first process."""
        return get_model_state_dict(self._network, options=_WHOLE)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Whole state by the names of weights, in the first process."""
        return get_optimizer_state_dict(self._network, optimizer, options=_WHOLE)

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        """The file as it is, in each process."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Split the weights of a file as those of the module are split."""
        set_model_state_dict(self._network, checkpoint["state_dict"], options=_WHOLE)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Split the state of a file as the weights are split."""
        for optimizer, state in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            set_optimizer_state_dict(self._network, optimizer, state, options=_WHOLE)
