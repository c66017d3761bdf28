"""`C3LModule`: contrastive pseudo-label training of an LVLM on groups of its own candidates."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from lightning.pytorch.utilities import rank_zero_warn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from lightning_c3l.functional.losses import ContrastivePseudoLabelLoss, c3l_loss, sequence_nll
from lightning_c3l.lvlm.base import Anchor, Context, RoundLVLM
from lightning_c3l.lvlm.batches import GroupBatch, GroupStates
from lightning_c3l.lvlm.external import ExternalGenerator
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.lvlm.training_mode import train_mode
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.modules.whole_batch import WholeBatchModule
from lightning_c3l.rounds.generation import GenerationConfig


@dataclass(frozen=True)
class LossConfig:
    """L = w (1/2 NLL(write the pair) + 1/2 NLL(answer its question)) * nll_weight + contrastive_weight * L_con.

    Attributes:
        contrastive_weight: lambda; 0 leaves the contrastive term and its candidates out.
        nll_weight: of the likelihood terms; 0 is possible but makes the model forget how to generate.
        temperature: tau of the contrastive term.
        projection_size: width of z = mean ReLU(W h + b).
        anchor: what the anchor is pooled from: the prompt with its image, the instruction alone, or the model's own
            description of the image.
        context: whether candidates are read after image and instruction, or after the instruction alone.
        cross_group: use the texts of other images of the batch (of all ranks) as negatives too.
    """

    contrastive_weight: float = 0.3
    nll_weight: float = 1.0
    temperature: float = 0.2
    projection_size: int = 128
    anchor: Anchor = "prompt"
    context: Context = "image"
    cross_group: bool = False

    def __post_init__(self) -> None:
        """Refuse losses that cannot train, and warn of the one that is known to destroy the model."""
        for name, weight in (("contrastive_weight", self.contrastive_weight), ("nll_weight", self.nll_weight)):
            if not weight >= 0:
                raise ValueError(f"loss.{name} must be at least 0, not {weight}")
        if self.contrastive_weight == 0 and self.nll_weight == 0:
            raise ValueError("loss: contrastive_weight and nll_weight are both 0, nothing would be trained")
        if self.anchor not in ("prompt", "instruction", "description") or self.context not in ("image", "text"):
            raise ValueError(f"loss: unknown anchor {self.anchor!r} or context {self.context!r}")
        if self.nll_weight == 0:
            rank_zero_warn("loss: nll_weight is 0: the contrastive term alone is known to destroy the writer")


class C3LModule(WholeBatchModule):
    """Trains an LVLM on pseudo-labels.

    The objective of an optimizer step is the mean of L over all of its groups: of all micro-batches and processes. With
    `cross_group` the contrastive term of a group depends on which groups share its micro-batch, and so on how the
    step is cut.

    Args:
        lvlm: the model.
        writing: options of generation, for the rounds.
        loss: the objective.
        optimization: learning rate and schedule.
        generator: generates in the rounds with the LVLM's weights, such as `ServedGenerator` on inference servers; null
            leaves it to the LVLM.
    """

    lvlm: RoundLVLM
    usual_terms = 8

    def __init__(
        self,
        lvlm: RoundLVLM,
        writing: GenerationConfig = GenerationConfig(),  # noqa: B008  # frozen
        loss: LossConfig = LossConfig(),
        optimization: OptimizerConfig = OptimizerConfig(),  # noqa: B008
        generator: ExternalGenerator | None = None,
    ) -> None:
        super().__init__()
        self.lvlm = lvlm
        # `from_pretrained` gives it in eval mode, and Lightning keeps the mode that it finds
        self.network = train_mode(lvlm.network)
        self.writing = writing
        self.loss = loss
        self.optimization, self.generator = optimization, generator
        self.contrastive = ContrastivePseudoLabelLoss(
            lvlm.hidden_size, loss.projection_size, loss.temperature, loss.cross_group
        )
        # a head that no loss reaches would stop DDP, which waits for every gradient
        self.contrastive.requires_grad_(loss.contrastive_weight > 0)

    def predict_step(self, keys: Sequence[str], batch_idx: int) -> None:
        """No-op: the callback `DatasetExport` makes the records."""

    def encode(self, samples: Sequence[GroupSample]) -> GroupBatch:
        """Collate function that the datamodule gets."""
        if self.loss.contrastive_weight == 0:
            samples = [GroupSample(**{**sample.__dict__, "texts": sample.texts[:1]}) for sample in samples]
        return self.lvlm.encode_groups(samples, self.loss.anchor, self.loss.context)

    def training_step(self, batch: GroupBatch, batch_idx: int) -> Tensor:
        """Mean loss of one batch of groups."""
        states = self.lvlm.group_states(batch, self.loss.anchor, self.loss.context)
        write = sequence_nll(states.positive_logp, states.positive_mask)
        answer = sequence_nll(states.answer_logp, states.answer_mask)
        contrastive = torch.zeros_like(write)
        if self.loss.contrastive_weight > 0:
            contrastive = self._contrast(states)
        weights = self.loss.nll_weight, self.loss.contrastive_weight
        loss = c3l_loss(write, answer, contrastive, batch.weights, *weights)
        figures = {"loss": loss, "write_nll": write.mean(), "answer_nll": answer.mean(), "con": contrastive.mean()}
        size = len(batch.weights)
        self.weigh(size, batch_idx)
        self.log_dict({f"train/{k}": v for k, v in figures.items()}, prog_bar=True, batch_size=size)
        return loss

    def _contrast(self, states: GroupStates) -> Tensor:
        """L_con of each group, [G]: rows of candidates put into a table [G, K, D] by group and number."""
        anchor = self.contrastive.project(states.anchor, states.anchor_mask)
        rows = self.contrastive.project(states.candidates, states.candidate_mask)
        groups, most = len(anchor), int(states.role.max()) + 1
        table = rows.new_zeros(groups, most, rows.shape[-1])
        table = table.index_put((states.owner, states.role), rows)
        real = torch.zeros(groups, most, dtype=torch.bool, device=rows.device)
        real[states.owner, states.role] = True
        return self.contrastive(anchor, table, real)  # type: ignore[no-any-return]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over what is trained."""
        return self.optimization.configure(self.parameters(), lambda: int(self.trainer.estimated_stepping_batches))
