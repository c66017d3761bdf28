"""What the method asks of an LVLM: nothing here knows a library that provides one."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal, Protocol

import torch
from PIL.Image import Image
from torch import Tensor, nn

from lightning_c3l.lvlm.samples import GroupSample
from lightning_c3l.records import Turn

# the pictures that conversations are about, one as a rule, and conversations about the same ones
Pictures = Sequence[Image]
Chats = Sequence[Sequence[Turn]]
Anchor = Literal["prompt", "instruction", "description"]
Context = Literal["image", "text"]


class LVLMError(ValueError):
    """An LVLM that cannot be used as asked; the message says what to do in one line."""


class ImageError(LVLMError):
    """A picture that an LVLM cannot take, where others may do."""


class ConversationError(LVLMError):
    """A conversation that an LVLM cannot take, too long for one, where others may do."""


@dataclass(frozen=True)
class Sampling:
    """How texts are drawn.

    Attributes:
        samples: texts for each prompt.
        max_new_tokens: longest text, in tokens.
        temperature: 0 picks the likeliest token (then `samples` must be 1).
        top_p: share of the probability mass that is drawn from.
    """

    samples: int = 4
    max_new_tokens: int = 64
    temperature: float = 0.7
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        for name, count in (("samples", self.samples), ("max_new_tokens", self.max_new_tokens)):
            if count < 1:
                raise ValueError(f"sampling.{name} must be at least 1, not {count}")
        if not self.temperature >= 0:
            raise ValueError(f"sampling.temperature must be at least 0, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"sampling.top_p must be above 0 and at most 1, not {self.top_p}")
        if self.temperature == 0 and self.samples > 1:
            raise ValueError("temperature 0 writes the same text each time: set samples to 1 or raise temperature")


@dataclass(frozen=True)
class AnswerTokens:
    """Teacher-forced statistics of the tokens of R answers (all turns of the assistant), end-of-turn excluded.

    Attributes:
        logp: log-probability of each token with the image, [R, T].
        logq: the same without the image, [R, T].
        kl: divergence of the two next-token distributions over the vocabulary, [R, T].
        mask: True where there is a token, [R, T].
        logp_shuffled: with another sample's image, [R, T], where asked for.
    """

    logp: Tensor
    logq: Tensor
    kl: Tensor
    mask: Tensor
    logp_shuffled: Tensor | None = None


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


# what `anchor: description` asks of the model, while a round is made and while it is trained
DESCRIBE = "Describe the picture."
ROLE_ANSWER = -1
ROLE_ANCHOR = -2


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


class LVLM(Protocol):
    """A large vision-language model, as the method sees it."""

    fingerprint: str

    @property
    def network(self) -> nn.Module:
        """The module that is trained, saved and moved."""

    @property
    def hidden_size(self) -> int:
        """Width of the decoder's hidden states."""

    def generate(
        self,
        images: Sequence[Image | None],
        prompts: Sequence[str],
        sampling: Sampling,
        seed: int | Sequence[int],
        begun: Sequence[str] | None = None,
        batch_size: int | None = None,
        progress: Callable[[int], object] = ...,
        finished: Callable[[int, list[str]], object] = ...,
    ) -> list[list[str]]:
        """`sampling.samples` texts for each (image, prompt).

        Args:
            images: a picture for each prompt; the same object may come several times. None leaves it out of the prompt.
            prompts: what the user says.
            sampling: how texts are drawn.
            seed: one for each prompt, or one that each prompt's is counted on from. A text depends on its prompt's
                seed and its own number alone, not on the batch (in float32 on CPU to the letter).
            begun: texts that are continued; only what is new comes back.
            batch_size: prompts at once; all unless given.
            progress: called with the number of texts that have been finished.
            finished: called with a prompt's number and its texts as soon as all of them are there.

        Raises:
            ConversationError: if a prompt is too long.
            ImageError: if a picture cannot be looked at.
        """

    def score(
        self,
        images: Sequence[Pictures],
        chats: Sequence[Chats],
        shuffled: Sequence[Pictures] | None = None,
    ) -> AnswerTokens:
        """Token statistics of every turn of the assistant, each in the context of what came before it.

        Args:
            images: pictures of each set, in the order of their places.
            chats: conversations about each set of pictures.
            shuffled: other pictures for each set, as many as its own.

        Raises:
            ConversationError: if a conversation cannot be read.
            ImageError: if a picture cannot be looked at.
        """

    def mean_nll(self, images: Sequence[Pictures], chats: Sequence[Chats]) -> list[list[float]]:
        """Mean negative log-likelihood a token of what the assistant says in each conversation, in nats.

        As by `score`: ends of turn do not count. Each value is NaN where the assistant says nothing.

        Args:
            images: pictures of each set; none leaves them out of its conversations.
            chats: conversations about each set of pictures.

        Raises:
            ConversationError: if a conversation cannot be read.
            ImageError: if a picture cannot be looked at.
        """

    def refusals(self, images: Sequence[Image]) -> list[str]:
        """Why each picture cannot be looked at; empty where it can."""

    def remembering(self) -> AbstractContextManager[None]:
        """Inside, an image object runs through the vision tower once, whatever is written or scored about it."""

    def reference(self) -> AbstractContextManager[None]:
        """Inside, the network is the starting model; outside, the one being trained."""

    def encode_groups(self, samples: Sequence[GroupSample], anchor: Anchor, context: Context) -> GroupBatch:
        """Tokens and pixels of a batch of groups."""

    def group_states(self, batch: GroupBatch, anchor: Anchor, context: Context) -> GroupStates:
        """One forward over a batch of groups, with gradients."""

    def save(self, folder: Path) -> None:
        """Write the adapter (or the whole network under full fine-tuning) as a checkpoint folder."""
