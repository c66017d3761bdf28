"""The terms of the loss that compare texts or models, from the states of a batch of groups."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_c3l.functional.i2c import log_kl
from lightning_c3l.functional.losses import ContrastivePseudoLabelLoss
from lightning_c3l.functional.preference import largest_share, pair_dpo, pair_info_nce, parting_tokens, text_logp
from lightning_c3l.lvlm.batches import GroupLogp, GroupStates
from lightning_c3l.modules.loss_config import LossConfig


@dataclass(frozen=True)
class Reference:
    """A batch of groups under the starting model, without gradient.

    Attributes:
        states: with the image.
        blind: without it; None if no option needs it.
    """

    states: GroupStates
    blind: GroupLogp | None


@dataclass(frozen=True)
class Pairs:
    """The N pairs of a negative and the positive of its group.

    Attributes:
        positive: row of the positive, [N].
        negative: row of the negative, [N].
        owner: group, [N].
        role: index of the negative in its group, from 1, [N].
        groups: number G of groups.
    """

    positive: Tensor
    negative: Tensor
    owner: Tensor
    role: Tensor
    groups: int

    @classmethod
    def of(cls, states: GroupStates) -> "Pairs":
        """Those among the rows of candidates."""
        positives, negative = (states.role == 0).nonzero()[:, 0], (states.role > 0).nonzero()[:, 0]
        row_of = torch.zeros_like(positives).index_put((states.owner[positives],), positives)
        owner = states.owner[negative]
        return cls(row_of[owner], negative, owner, states.role[negative], len(positives))

    def parting(self, states: GroupStates, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Columns of the tokens at which the masked texts of each pair part: the positive's, the negative's, [N]."""
        rows = self.positive, self.negative
        return parting_tokens(*(part[own] for own in rows for part in (states.candidate_ids, mask)))

    def tables(self, of_positive: Tensor, of_negative: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values of both sides of the pairs, [N], by group and negative, and where there is a pair, [G, K] each."""
        width = int(self.role.max()) if len(self.role) else 1
        real = torch.ones_like(self.owner, dtype=torch.bool)
        positive, negative, real = (
            values.new_zeros(self.groups, width).index_put((self.owner, self.role - 1), values)
            for values in (of_positive, of_negative, real)
        )
        return positive, negative, real


def representation_term(
    head: ContrastivePseudoLabelLoss, states: GroupStates, loss: LossConfig, reference: Reference | None
) -> Tensor:
    """L_con of each group by cosines of representations, [G]."""
    anchor = head.project(states.anchor, states.anchor_mask)
    if loss.anchor_gradient == "stop":
        anchor = anchor.detach()
    if loss.pooling == "parting":
        pairs = Pairs.of(states)
        similarities = list[Tensor]()
        columns = pairs.parting(states, states.candidate_mask)
        for rows, column in zip((pairs.positive, pairs.negative), columns, strict=True):
            hidden = states.candidates[rows, column][:, None]
            z = head.project(hidden, torch.ones(hidden.shape[:2], device=hidden.device))
            similarities.append(F.cosine_similarity(anchor[pairs.owner], z, dim=-1))
        return pair_info_nce(*pairs.tables(*similarities), loss.temperature)
    rows = head.project(states.candidates, _pooled(states, states.candidate_mask, loss, reference))
    # rows of candidates are put into a table by group and number
    groups, most = len(anchor), int(states.role.max()) + 1
    table = rows.new_zeros(groups, most, rows.shape[-1]).index_put((states.owner, states.role), rows)
    real = torch.zeros(groups, most, dtype=torch.bool, device=rows.device)
    real[states.owner, states.role] = True
    return head(anchor, table, real)  # type: ignore[no-any-return]


def likelihood_term(states: GroupStates, loss: LossConfig, reference: Reference | None) -> Tensor:
    """L_con of each group by log-probabilities of its texts, [G]; of their ratios to the reference's in form `dpo`."""
    pairs, logp, target = Pairs.of(states), states.candidate_logp, states.candidate_target
    if loss.form == "dpo":
        assert reference is not None  # `LossConfig.reference_uses` names the form
        logp = logp - reference.states.candidate_logp
    if loss.pooling == "parting":
        columns = pairs.parting(states, target)
        of_positive, of_negative = logp[pairs.positive, columns[0]], logp[pairs.negative, columns[1]]
    else:
        of_text = text_logp(logp, _pooled(states, target, loss, reference), loss.length_normalised)
        of_positive, of_negative = of_text[pairs.positive], of_text[pairs.negative]
    tables = pairs.tables(of_positive, of_negative)
    return pair_dpo(*tables, loss.beta) if loss.form == "dpo" else pair_info_nce(*tables, loss.temperature)


def _pooled(states: GroupStates, mask: Tensor, loss: LossConfig, reference: Reference | None) -> Tensor:
    """Which of the masked tokens of the candidates count, [R, L]."""
    if loss.pooling != "visual" or reference is None or reference.blind is None:
        return mask
    owed = reference.states.candidate_logp - reference.blind.candidates
    return largest_share(owed.abs(), mask, loss.pooling_share)


def reference_divergence(states: GroupStates, reference: Reference) -> Tensor:
    """KL(P_reference || P) of each group, mean over the tokens of its answer, [G]."""
    logits, expected = states.answer_logits, reference.states.answer_logits
    assert logits is not None  # `LossConfig.extras` asks for them
    assert expected is not None
    kl, mask = log_kl(expected.log_softmax(-1), logits.log_softmax(-1)), states.answer_mask
    return torch.zeros(mask.shape, dtype=kl.dtype, device=kl.device).masked_scatter(mask, kl).sum(1) / mask.sum(1)
