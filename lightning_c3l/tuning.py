"""Ordinary instruction tuning of an LVLM on a VLIT set."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from lightning_c3l.checkpoints import TrainedWeightsModule
from lightning_c3l.lvlm.base import ConversationError, ImageError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, TuningBatch
from lightning_c3l.optimization import Optimization
from lightning_c3l.samples import TuningSample


class InstructionTuningModule(TrainedWeightsModule):
    """Negative log-likelihood of the assistant's turns, each token alike but for its record's weight.

    Args:
        lvlm: the model to tune.
        optimization: learning rate and schedule.
        frozen: weights whose names hold one of these words are not trained, such as `vision_tower`.

    Raises:
        ValueError: if no weight's name holds such a word.
    """

    def __init__(
        self,
        lvlm: HuggingFaceLVLM,
        optimization: Optimization = Optimization(),  # noqa: B008  # frozen
        frozen: Sequence[str] = (),
    ) -> None:
        super().__init__()
        _freeze(lvlm.network, frozen)
        self.lvlm = lvlm
        # `from_pretrained` gives it in eval mode, and Lightning keeps the mode that it finds
        self.network = lvlm.network.train()
        self.optimization = optimization
        self._spare = list[TuningSample]()

    def encode(self, samples: Sequence[TuningSample]) -> TuningBatch:
        """Collate function that the datamodule is handed; a record that the LVLM cannot take is left out of its batch.

        Raises:
            LVLMError: if there is nothing else to put into the batch.
        """
        try:
            batch = self.lvlm.encode_conversations(samples)
        except (ConversationError, ImageError) as error:
            samples = [one for one in samples if self._takes(one)] or self._spare
            if not samples:
                raise
            batch = self.lvlm.encode_conversations(samples)
            warnings.warn(f"left out of its batch: {error}", stacklevel=2)
        # all processes go through as many batches, so there must be something in each
        conversation, pictures = samples[0]
        self._spare = [(replace(conversation, weight=0.0), pictures)]
        return batch

    def _takes(self, sample: TuningSample) -> bool:
        try:
            self.lvlm.encode_conversations([sample])
        except (ConversationError, ImageError):
            return False
        return True

    def training_step(self, batch: TuningBatch, batch_idx: int) -> Tensor:
        """Weighted mean NLL of the batch's target tokens; `train/nll` is the mean without weights."""
        nll, tokens = -self.lvlm.conversation_logp(batch).sum(1), batch.target.sum()
        self.log("train/nll", nll.detach().sum() / tokens, prog_bar=True, batch_size=len(batch.ids))
        return (batch.weight * nll).sum() / tokens

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over what is trained."""
        return self.optimization.configure(self.parameters(), lambda: int(self.trainer.estimated_stepping_batches))


def _freeze(network: nn.Module, words: Sequence[str]) -> None:
    for word in words:
        weights = [parameter for name, parameter in network.named_parameters() if word in name]
        if not weights:
            raise ValueError(f"frozen: no weight's name holds {word!r}; look at the model's named_parameters()")
        for parameter in weights:
            parameter.requires_grad_(False)
