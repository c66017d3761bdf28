"""Gradients of an optimizer step that do not depend on how its batch is split into micro-batches and ranks."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from lightning.pytorch.strategies import DeepSpeedStrategy, ModelParallelStrategy
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.distributed.fsdp import FSDPModule

from lightning_c3l.distributed import fsdp
from lightning_c3l.functional.random_streams import combined_seed
from lightning_c3l.lvlm.base import TrainableLVLM
from lightning_c3l.lvlm.samples import TrainingData
from lightning_c3l.modules.base import TrainedWeightsModule


class WholeBatchModule(TrainedWeightsModule):
    """Each term (target token, group) of an optimizer step counts alike, in whichever micro-batch or process it is.

    `training_step` returns the mean over its own terms and calls `weigh` with their number. Lightning averages these
    means over micro-batches and processes, which would let a term of a small micro-batch count more than one of a
    large one. So each mean is multiplied by its number of terms before the backward pass, and the gradient is divided
    by the number of all terms before it is clipped and used.

    DeepSpeed keeps gradients to itself: there, micro-batches and processes count alike, whatever they hold.
    """

    lvlm: TrainableLVLM
    # all draws of a run depend on it; the CLI sets it to `seed_everything`
    seed = 0
    # A usual number of terms in a micro-batch: losses stay in the range of half precision. The gradient does not
    # depend on it: a power of two rounds nothing.
    usual_terms = 1
    # terms of the last micro-batch, and of all micro-batches of the optimizer step so far
    _terms: Tensor | int = 0
    _terms_of_step: Tensor | int = 0

    def configure_model(self) -> None:
        """Shard the weights for training where the strategy asks for it."""
        super().configure_model()
        strategy, fitting = self.trainer.strategy, self.trainer.state.fn == TrainerFn.FITTING
        if isinstance(strategy, ModelParallelStrategy) and fitting and not isinstance(self, FSDPModule):
            fsdp.shard(self, self.lvlm.decoder_layers, strategy.device_mesh["data_parallel"])

    def encode(self, samples: Sequence[Any]) -> Any:
        """A batch of samples; handed to the datamodule as its collate function."""
        raise NotImplementedError(f"{type(self).__name__} must define `encode`")

    def setup(self, stage: str) -> None:
        """Hand the datamodule the function that makes batches, and the seed of their order."""
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, TrainingData):
            data.collate_with(self.encode, self.seed)

    def on_fit_start(self) -> None:
        """Prepare training, unless a callback has done so before it used the LVLM."""
        self.prepare_training()

    def prepare_training(self) -> None:
        """Let the LVLM check how it runs training batches, while its weights are whole; once."""
        with self.whole_weights():
            self.lvlm.prepare_training()

    def on_train_epoch_start(self) -> None:
        """Warn where an optimizer step cannot be what the options ask for."""
        self._terms_of_step = 0
        trainer = self.trainer
        wanted, batches = trainer.accumulate_grad_batches, trainer.num_training_batches
        if wanted > batches and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            rank_zero_warn(
                f"trainer.accumulate_grad_batches is {wanted}, but this epoch has only {batches} batches: its one "
                f"optimizer step is made of {batches}"
            )
        if isinstance(trainer.strategy, DeepSpeedStrategy) and max(wanted, trainer.world_size) > 1:
            rank_zero_warn(
                "DeepSpeed: batches of all processes count alike in an optimizer step, whatever their number of "
                "target tokens or groups"
            )

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout draws from the global generators: a resumed run must draw the masks that it would have drawn."""
        position = self.seed, self.trainer.current_epoch, batch_idx, self.global_rank
        torch.manual_seed(combined_seed(*position, bits=32))

    def weigh(self, terms: Tensor | int, batch_idx: int) -> None:
        """Note how many terms the loss of this micro-batch is the mean of.

        Args:
            terms: their number.
            batch_idx: of the micro-batch; one that repeats what another process has counts nothing.
        """
        loader = None if self._trainer is None else self._trainer.train_dataloader
        repeats: Callable[[int], bool] | None = getattr(loader, "repeats", None)
        self._terms = 0 if repeats is not None and repeats(batch_idx) else terms
        self._terms_of_step = self._terms_of_step + self._terms

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Weigh the mean by its number of terms."""
        super().backward(loss * (self._terms / self.usual_terms) if self._is_cut() else loss, *args, **kwargs)

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """Divide by the number of terms as soon as gradients are there: callbacks and clipping see the true ones."""

        def closure() -> Any:
            loss = optimizer_closure()
            if self._is_cut():
                terms = torch.as_tensor(self._terms_of_step, device=self.device)
                every = int(self.trainer.strategy.reduce(terms, reduce_op="sum"))
                # Lightning has divided by these
                means = self.trainer.accumulate_grad_batches * self.trainer.world_size
                for parameter in self.parameters():
                    if parameter.grad is not None:
                        parameter.grad.mul_(means * self.usual_terms / max(1, every))
            self._terms_of_step = 0
            return loss

        super().optimizer_step(epoch, batch_idx, optimizer, closure)

    def _is_cut(self) -> bool:
        """Whether a step has several micro-batches, and gradients that can be reached."""
        trainer = self.trainer
        several = trainer.accumulate_grad_batches > 1 or trainer.world_size > 1
        return several and not isinstance(trainer.strategy, DeepSpeedStrategy)
