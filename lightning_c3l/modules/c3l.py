"""`C3LModule`: contrastive pseudo-label training of an LVLM on groups of its own candidates."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from PIL import Image
from torch import Tensor

from lightning_c3l.functional.checks import require_shape
from lightning_c3l.functional.losses import ContrastivePseudoLabelLoss, c3l_loss, sequence_nll
from lightning_c3l.functional.preference import visual_weights
from lightning_c3l.lvlm.base import RoundLVLM, require_reference
from lightning_c3l.lvlm.batches import GroupBatch, GroupStates
from lightning_c3l.lvlm.external import ExternalGenerator
from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.lvlm.training_mode import eval_mode, train_mode
from lightning_c3l.modules.contrast import Reference, form_of, reference_divergence
from lightning_c3l.modules.loss_config import LossConfig as LossConfig
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.modules.whole_batch import WholeBatchModule
from lightning_c3l.rounds.generation import GenerationConfig

# a group on which the options of the loss are tried before a round is made
_TRIAL = GroupSample(
    Image.new("RGB", (64, 64), "gray"),
    "Write a question about the image, with its answer.",
    ("What color is it? Gray.", "What color is it? Red."),
    "What color is it?",
    "Gray.",
    "All is gray.",
)


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
        loss: LossConfig = LossConfig(),  # noqa: B008
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
        self.contrastive.requires_grad_(loss.has_head)
        require_reference(lvlm, [f"loss.{name}" for name in loss.reference_uses])

    def predict_step(self, keys: Sequence[str], batch_idx: int) -> None:
        """No-op: the callback `DatasetExport` makes the records."""

    def prepare_training(self) -> None:
        """Check that the LVLM can be trained, and give what the options of the loss ask of it.

        Raises:
            LVLMError: it cannot; names the option.
        """
        super().prepare_training()
        if not (self.loss.needs or self.loss.reference_uses):
            return
        with torch.no_grad(), self.inference_context():
            batch = self.encode([_TRIAL]).to(self.device)
            self._reference(batch)
            self.lvlm.group_states(batch, self.loss.anchor, self.loss.context, self.loss.extras)

    def encode(self, samples: Sequence[GroupSample]) -> GroupBatch:
        """Collate function that the datamodule gets."""
        if not self.loss.contrasts:
            samples = [replace(sample, texts=sample.texts[:1]) for sample in samples]
        return self.lvlm.encode_groups(samples, self.loss.anchor, self.loss.context, self.loss.extras)

    def training_step(self, batch: GroupBatch, batch_idx: int) -> Tensor:
        """Mean loss of one batch of groups."""
        options, reference = self.loss, self._reference(batch)
        states = self.lvlm.group_states(batch, options.anchor, options.context, options.extras)
        write, answer = self._likelihoods(states, reference)
        contrastive = torch.zeros_like(write)
        if options.contrasts:
            term = form_of("loss.form", options.form).term
            contrastive = term(states, options, reference, self.contrastive if options.has_head else None)
            require_shape(f"what loss.form {options.form} returned", contrastive, tuple(write.shape))
        weight = options.contrastive_weight_at(self.global_step)
        loss = c3l_loss(write, answer, contrastive, batch.weights, options.nll_weight, weight)
        figures = {"write_nll": write.mean(), "answer_nll": answer.mean(), "con": contrastive.mean()}
        if options.reference_kl > 0 and reference is not None:
            figures["reference_kl"] = reference_divergence(states, reference).mean()
            loss = loss + options.reference_kl * figures["reference_kl"]
        size = len(batch.weights)
        self.weigh(size, batch_idx)
        figures = {"loss": loss, **figures}
        self.log_dict({f"train/{k}": v for k, v in figures.items()}, prog_bar=True, batch_size=size)
        return loss

    def _reference(self, batch: GroupBatch) -> Reference | None:
        """The batch under the starting model, if an option needs it.

        The forward is made here: a round scores answers to questions, which are other tokens than those of candidates.
        All processes make it in every step.
        """
        if not self.loss.reference_uses:
            return None
        options, extras = self.loss, replace(self.loss.extras, depth=1.0)
        with torch.no_grad(), eval_mode(self.network), self.lvlm.reference():
            states = self.lvlm.group_states(batch, options.anchor, options.context, extras)
            return Reference(states, self.lvlm.blind_logp(batch) if extras.blind else None)

    def _likelihoods(self, states: GroupStates, reference: Reference | None) -> tuple[Tensor, Tensor]:
        """Negative log-likelihood of writing each group's positive, and of answering its question, [G] each."""
        write, answer = states.positive_logp, states.answer_logp
        if self.loss.token_weights == "visual" and reference is not None and reference.blind is not None:
            starting, blind = reference.states, reference.blind
            write = write * visual_weights(starting.positive_logp, blind.positive, states.positive_mask)
            answer = answer * visual_weights(starting.answer_logp, blind.answer, states.answer_mask)
        return sequence_nll(write, states.positive_mask), sequence_nll(answer, states.answer_mask)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW over what is trained."""
        return self.optimization.configure(self.parameters(), lambda: int(self.trainer.estimated_stepping_batches))
