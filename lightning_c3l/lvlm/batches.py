"""Training batches of an LVLM, and the result of a forward over one."""

from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor

# roles of rows that are not candidates: the answer to the positive's question, and the text of the anchor
ROLE_ANSWER, ROLE_ANCHOR = -1, -2


# batches are not frozen: Lightning's half precisions convert them field by field, and refuse frozen ones
@dataclass
class ModelInputs:
    """Some rows of a batch as inputs of a model, left-padded.

    Attributes:
        rows: their indices in the batch, [R].
        inputs: what a processor returns for them, `input_ids` and `attention_mask` among tensors and lists.
    """

    rows: Tensor
    inputs: dict[str, Any]

    def to(self, device: torch.device) -> "ModelInputs":
        """The same inputs on another device."""
        moved = {name: x.to(device) if isinstance(x, Tensor) else x for name, x in self.inputs.items()}
        return ModelInputs(self.rows.to(device), moved)


@dataclass
class TokenRows:
    """R token rows, right-padded, or left-padded if they have `parts`.

    Attributes:
        ids: tokens, [R, L].
        mask: True at tokens, [R, L].
        owner: index of the prefix that a row continues, or of its group, [R].
        target: True at the tokens that are predicted for the likelihood, [R, L].
        text: True at the tokens whose hidden states represent the row's text, [R, L].
        role: k for the text of candidate k (0 is the positive), or one of the `ROLE_` constants, [R].
        parts: the same rows as a processor encodes them, for an LVLM that runs rows as they are.
    """

    ids: Tensor
    mask: Tensor
    owner: Tensor
    target: Tensor
    text: Tensor
    role: Tensor
    parts: list[ModelInputs] = field(default_factory=list)

    def to(self, device: torch.device) -> "TokenRows":
        """The same rows on another device."""
        moved = {f.name: getattr(self, f.name).to(device) for f in fields(self) if f.name != "parts"}
        return TokenRows(**moved, parts=[part.to(device) for part in self.parts])


@dataclass
class GroupBatch:
    """G encoded groups: a shared prefix (the image) each, and R suffixes (texts in their prompts).

    Attributes:
        prefixes: model inputs of the prefixes, `input_ids` and `attention_mask` [G, P] among them; P is 0 if rows are
            not split.
        suffixes: rows that continue a prefix.
        without_image: rows of whole texts without image; None if no option needs them.
        weights: w_i, [G].
        blind: the suffixes with targets as whole rows without image, in their order; None if no option needs them.
    """

    prefixes: dict[str, Tensor]
    suffixes: TokenRows
    without_image: TokenRows | None
    weights: Tensor
    blind: TokenRows | None = None

    def to(self, device: torch.device) -> "GroupBatch":
        """The same batch on another device."""
        prefixes = {name: value.to(device) for name, value in self.prefixes.items()}
        without_image = None if self.without_image is None else self.without_image.to(device)
        blind = None if self.blind is None else self.blind.to(device)
        return GroupBatch(prefixes, self.suffixes.to(device), without_image, self.weights.to(device), blind)


@dataclass(frozen=True)
class GroupLogp:
    """Log-probabilities of the texts of a batch of groups; 0 at tokens that are no targets.

    Attributes:
        positive: of the positives' tokens after their instruction, [G, L].
        answer: of the tokens of their answers after their question, [G, L].
        candidates: of the candidates' tokens, [R, L], in the rows of `GroupStates.candidates`.
    """

    positive: Tensor
    answer: Tensor
    candidates: Tensor


@dataclass(frozen=True)
class GroupStates:
    """Inputs of the losses, from one forward over a batch of groups.

    Attributes:
        positive_logp: log-probabilities of the positive's tokens after its instruction, [G, L]; `positive_mask` [G, L].
        answer_logp: log-probabilities of the tokens of its answer after its question, with `answer_mask`.
        anchor: hidden states that the anchor is pooled from, [G, La, H], with `anchor_mask` [G, La].
        candidates: hidden states of the texts, [R, Lc, H], with `candidate_mask` [R, Lc].
        owner: group of each candidate row, [R]; `role` is its index in the group, [R].
        candidate_ids: tokens of the texts' rows, [R, Lc].
        candidate_logp: log-probabilities of the texts' tokens, [R, Lc], 0 but at `candidate_target` [R, Lc], which
            holds the end of turn too; of the positives alone unless those of the negatives were asked for.
        answer_logits: logits that predict the M tokens of all answers, row by row, [M, V], if they were asked for.
    """

    positive_logp: Tensor
    positive_mask: Tensor
    answer_logp: Tensor
    answer_mask: Tensor
    anchor: Tensor
    anchor_mask: Tensor
    candidates: Tensor
    candidate_mask: Tensor
    owner: Tensor
    role: Tensor
    candidate_ids: Tensor
    candidate_logp: Tensor
    candidate_target: Tensor
    answer_logits: Tensor | None = None


@dataclass
class ConversationBatch:
    """B conversations, right-padded, or left-padded if they have `parts`.

    Attributes:
        ids: tokens, [B, L].
        mask: True at tokens, [B, L].
        target: True at the assistant's tokens and end-of-turn tokens, [B, L].
        pixels: pixel tensors of the rows' images, row by row; empty without images.
        weight: of each conversation's loss, [B].
        parts: the same rows as a processor encodes them, for an LVLM that runs rows as they are.
    """

    ids: Tensor
    mask: Tensor
    target: Tensor
    pixels: dict[str, Tensor]
    weight: Tensor
    parts: list[ModelInputs] = field(default_factory=list)

    def to(self, device: torch.device) -> "ConversationBatch":
        """The same batch on another device."""
        pixels = {name: value.to(device) for name, value in self.pixels.items()}
        ids, mask, target = self.ids.to(device), self.mask.to(device), self.target.to(device)
        parts = [part.to(device) for part in self.parts]
        return ConversationBatch(ids, mask, target, pixels, self.weight.to(device), parts)
