"""Batches that an LVLM is trained on, and what a forward over one gives."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor

# roles of rows that are no candidate: the answer to the positive's question, and what the anchor is pooled from
ROLE_ANSWER, ROLE_ANCHOR = -1, -2


# batches are not frozen: Lightning's half precisions convert them field by field, and refuse frozen ones
@dataclass
class Branches:
    """R right-padded token rows.

    Attributes:
        ids: tokens, [R, L].
        mask: True at tokens, [R, L].
        owner: number of the trunk that a row continues, [R].
        target: True at the tokens that are predicted for the likelihood, [R, L].
        text: True at the tokens whose hidden states stand for the row's text, [R, L].
        role: k for the text of candidate k (0 the positive), or one of the `ROLE_` constants, [R].
    """

    ids: Tensor
    mask: Tensor
    owner: Tensor
    target: Tensor
    text: Tensor
    role: Tensor

    def to(self, device: torch.device) -> "Branches":
        """The same rows on another device."""
        return Branches(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


@dataclass
class GroupBatch:
    """G encoded groups: one trunk (the image) each, R branches (texts in their prompts), maybe some without image.

    Attributes:
        trunk: model inputs of the trunks, `input_ids` and `attention_mask` [G, P] among them.
        branches: branches that continue a trunk.
        blind: branches in the same form that stand alone, without image; None where no option needs them.
        weights: w_i, [G].
    """

    trunk: dict[str, Tensor]
    branches: Branches
    blind: Branches | None
    weights: Tensor

    def to(self, device: torch.device) -> "GroupBatch":
        """The same batch on another device."""
        trunk = {name: value.to(device) for name, value in self.trunk.items()}
        blind = None if self.blind is None else self.blind.to(device)
        return GroupBatch(trunk, self.branches.to(device), blind, self.weights.to(device))


@dataclass
class ConversationBatch:
    """B right-padded conversations.

    Attributes:
        ids: tokens, [B, L].
        mask: True at tokens, [B, L].
        target: True at the assistant's tokens and end-of-turn tokens, [B, L].
        pixels: pixel tensors of the rows' images, row by row; empty without images.
        weight: of each conversation's loss, [B].
    """

    ids: Tensor
    mask: Tensor
    target: Tensor
    pixels: dict[str, Tensor]
    weight: Tensor

    def to(self, device: torch.device) -> "ConversationBatch":
        """The same batch on another device."""
        pixels = {name: value.to(device) for name, value in self.pixels.items()}
        ids, mask, target = self.ids.to(device), self.mask.to(device), self.target.to(device)
        return ConversationBatch(ids, mask, target, pixels, self.weight.to(device))


@dataclass(frozen=True)
class GroupStates:
    """What the losses need from one forward over a batch of groups.

    Attributes:
        write_logp: log-probabilities of the positive's tokens, [G, L], with `write_mask` [G, L].
        answer_logp: the same of its answer to its question, with `answer_mask`.
        anchor: hidden states that the anchor is pooled from, [G, La, H], with `anchor_mask` [G, La].
        candidates: hidden states of the texts, [R, Lc, H], with `candidate_mask` [R, Lc].
        owner: group of each candidate row, [R]; `role` its number in the group, [R].
    """

    write_logp: Tensor
    write_mask: Tensor
    answer_logp: Tensor
    answer_mask: Tensor
    anchor: Tensor
    anchor_mask: Tensor
    candidates: Tensor
    candidate_mask: Tensor
    owner: Tensor
    role: Tensor
