"""The terms of the loss that compare texts or models, from the states of a batch of groups."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_c3l import extensions
from lightning_c3l.functional.i2c import log_kl
from lightning_c3l.functional.losses import ContrastivePseudoLabelLoss
from lightning_c3l.functional.preference import largest_share, pair_dpo, pair_info_nce, parting_tokens, text_logp
from lightning_c3l.lvlm.batches import GroupLogp, GroupStates

if TYPE_CHECKING:  # the options ask the form what it needs
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
    states: GroupStates, options: "LossConfig", reference: Reference | None, head: ContrastivePseudoLabelLoss | None
) -> Tensor:
    """L_con of each group by cosines of representations, [G]."""
    assert head is not None  # the form needs it
    anchor = head.project(states.anchor, states.anchor_mask)
    if options.anchor_gradient == "stop":
        anchor = anchor.detach()
    if options.pooling == "parting":
        pairs = Pairs.of(states)
        similarities = list[Tensor]()
        columns = pairs.parting(states, states.candidate_mask)
        for rows, column in zip((pairs.positive, pairs.negative), columns, strict=True):
            hidden = states.candidates[rows, column][:, None]
            z = head.project(hidden, torch.ones(hidden.shape[:2], device=hidden.device))
            similarities.append(F.cosine_similarity(anchor[pairs.owner], z, dim=-1))
        return pair_info_nce(*pairs.tables(*similarities), options.temperature)
    rows = head.project(states.candidates, _pooled(states, states.candidate_mask, options, reference))
    # rows of candidates are put into a table by group and number
    groups, most = len(anchor), int(states.role.max()) + 1
    table = rows.new_zeros(groups, most, rows.shape[-1]).index_put((states.owner, states.role), rows)
    real = torch.zeros(groups, most, dtype=torch.bool, device=rows.device)
    real[states.owner, states.role] = True
    return head(anchor, table, real)  # type: ignore[no-any-return]


def likelihood_term(
    states: GroupStates, options: "LossConfig", reference: Reference | None, head: ContrastivePseudoLabelLoss | None
) -> Tensor:
    """L_con of each group by log-probabilities of its texts, [G]."""
    return pair_info_nce(*pair_scores(states, states.candidate_logp, options, reference), options.temperature)


def dpo_term(
    states: GroupStates, options: "LossConfig", reference: Reference | None, head: ContrastivePseudoLabelLoss | None
) -> Tensor:
    """L_con of each group by ratios of the probabilities of its texts to the reference's, [G]."""
    assert reference is not None  # the form needs it
    ratios = states.candidate_logp - reference.states.candidate_logp
    return pair_dpo(*pair_scores(states, ratios, options, reference), options.beta)


def pair_scores(
    states: GroupStates, logp: Tensor, options: "LossConfig", reference: Reference | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of the texts of each pair from values of their tokens, as `pooling` and `length_normalised` ask for.

    Args:
        states: of the batch, with the log-probabilities of negatives.
        logp: log-probability of each token of the candidates, or another value of it, [R, L].
        options: of the loss.
        reference: the batch under the starting model, for the pooling `visual`.

    Returns:
        Score of the positive and of the negative by group and negative, and where there is a pair, [G, K] each.
    """
    pairs, target = Pairs.of(states), states.candidate_target
    if options.pooling == "parting":
        columns = pairs.parting(states, target)
        return pairs.tables(logp[pairs.positive, columns[0]], logp[pairs.negative, columns[1]])
    of_text = text_logp(logp, _pooled(states, target, options, reference), options.length_normalised)
    return pairs.tables(of_text[pairs.positive], of_text[pairs.negative])


def _pooled(states: GroupStates, mask: Tensor, options: "LossConfig", reference: Reference | None) -> Tensor:
    """Which of the masked tokens of the candidates count, [R, L]."""
    if options.pooling != "visual" or reference is None or reference.blind is None:
        return mask
    owed = reference.states.candidate_logp - reference.blind.candidates
    return largest_share(owed.abs(), mask, options.pooling_share)


# states, options of the loss, the starting model's states and the projection head, each of the last two None unless
# it is needed; to the loss of each group, [G]
Term = Callable[[GroupStates, "LossConfig", Reference | None, ContrastivePseudoLabelLoss | None], Tensor]
NEEDS = ("negatives", "reference", "blind", "head")


@dataclass(frozen=True)
class Form:
    """A form of the contrastive term.

    Attributes:
        term: computes it.
        needs: what it needs beside the hidden states and the log-probabilities of positives: `negatives`, their
            log-probabilities too; `reference`, the batch under the starting model; `blind`, that without the image as
            well; `head`, the projection head, which is trained then.
    """

    term: Term
    needs: tuple[str, ...]


FORMS = {
    "representation": Form(representation_term, ("head",)),
    "likelihood": Form(likelihood_term, ("negatives",)),
    "dpo": Form(dpo_term, ("negatives", "reference")),
}


def form_of(option: str, name: str) -> Form:
    """The form of a name: one of ours, or a function of the user's own by its dotted path.

    A function says what it needs by its attribute `needs`; without one it gets `negatives`.

    Args:
        option: that names it, for errors.
        name: such as `dpo` or `my_loss.simpo`.

    Raises:
        ValueError: there is no such form, or it needs something else; says which option and why.
    """
    takes = extensions.takes(("states", "options", "reference", "head"))
    term: Form | Term = extensions.choose(option, name, FORMS, "form of the contrastive loss", takes)
    if isinstance(term, Form):
        return term
    needs = tuple(getattr(term, "needs", ("negatives",)))
    if unknown := set(needs).difference(NEEDS):
        raise ValueError(f"{option} {name}: needs {', '.join(sorted(map(str, unknown)))}; known are {', '.join(NEEDS)}")
    return Form(term, needs)


def reference_divergence(states: GroupStates, reference: Reference) -> Tensor:
    """KL(P_reference || P) of each group, mean over the tokens of its answer, [G]."""
    logits, expected = states.answer_logits, reference.states.answer_logits
    assert logits is not None  # `LossConfig.extras` asks for them
    assert expected is not None
    kl, mask = log_kl(expected.log_softmax(-1), logits.log_softmax(-1)), states.answer_mask
    return torch.zeros(mask.shape, dtype=kl.dtype, device=kl.device).masked_scatter(mask, kl).sum(1) / mask.sum(1)
