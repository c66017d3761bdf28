"""Ordinary instruction tuning of an LVLM on a VLIT set."""

from collections.abc import Sequence

from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from lightning_c3l.lvlm.base import TrainableLVLM
from lightning_c3l.lvlm.batches import ConversationBatch
from lightning_c3l.lvlm.samples import TuningSample
from lightning_c3l.lvlm.training_mode import train_mode
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.modules.whole_batch import WholeBatchModule


class InstructionTuningModule(WholeBatchModule):
    """Negative log-likelihood of the assistant's turns.

    The objective of an optimizer step is the sum over all its target tokens, each times the weight of its record,
    divided by their number: of all micro-batches and processes.

    Args:
        lvlm: the model to tune.
        optimization: learning rate and schedule.
        frozen: weights whose names hold one of these words are not trained, such as `vision_tower`.

    Raises:
        ValueError: if no weight's name holds such a word.
    """

    usual_terms = 1024

    def __init__(
        self,
        lvlm: TrainableLVLM,
        optimization: OptimizerConfig = OptimizerConfig(),  # noqa: B008  # frozen
        frozen: Sequence[str] = (),
    ) -> None:
        super().__init__()
        for word in frozen:
            weights = [parameter for name, parameter in lvlm.network.named_parameters() if word in name]
            if not weights:
                raise ValueError(f"frozen: no weight's name holds {word!r}; look at the model's named_parameters()")
            for parameter in weights:
                parameter.requires_grad_(False)
        self.lvlm = lvlm
        # `from_pretrained` gives it in eval mode, and Lightning keeps the mode that it finds
        self.network = train_mode(lvlm.network)
        self.optimization = optimization

    def encode(self, samples: Sequence[TuningSample]) -> ConversationBatch:
        """A batch of records, for the datamodule.

        Raises:
            ConversationError: a record is too long, or has nothing to train on.
            ImageError: if an image is not supported.
        """
        return self.lvlm.encode_conversations(samples)

    def training_step(self, batch: ConversationBatch, batch_idx: int) -> Tensor:
        """Weighted mean NLL of the batch's target tokens; `train/nll` is the mean without weights."""
        nll, tokens = -self.lvlm.conversation_logp(batch).sum(1), batch.target.sum()
        self.weigh(tokens, batch_idx)
        some = tokens.clamp(min=1)  # a batch of which nothing could be used has no target
        self.log("train/nll", nll.detach().sum() / some, prog_bar=True, batch_size=len(batch.ids))
        return (batch.weight * nll).sum() / some

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over what is trained."""
        return self.optimization.configure(self.parameters(), lambda: int(self.trainer.estimated_stepping_batches))
