"""Ways to run a model: a protocol for what scoring, generation and training need of one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from PIL.Image import Image
from torch import Tensor

from lightning_c3l.lvlm.base import Anchor, Chats, Context, GenerationRequest, GroupExtras, Images, Sampling
from lightning_c3l.lvlm.batches import ConversationBatch, GroupBatch, TokenRows
from lightning_c3l.lvlm.huggingface.batching import TokenIds
from lightning_c3l.lvlm.samples import GroupSample, TuningSample
from lightning_c3l.records import Turn

# fast: prefixes are shared under a block mask; cached: each prefix once, its cache copied; plain: rows as the processor
# encodes them; one_by_one: the same, a row at a time
PathName = Literal["fast", "cached", "plain", "one_by_one"]
PathOption = Literal["auto", "fast", "cached", "plain", "one_by_one"]


@dataclass(frozen=True)
class GroupForward:
    """Hidden states and log-probabilities of a batch of groups.

    Attributes:
        prefix: hidden states of the prefixes, [G, P, H]; P is 0 if rows are not split.
        prefix_mask: True at tokens, [G, P].
        hidden: hidden states of the suffixes, [R, L, H].
        logp: log-probabilities of the suffixes' targets, [R, L], 0 elsewhere.
        without_image: hidden states of the rows without image, if there are any.
        logits: those of all M targets, row by row, [M, V], if they were asked for.
    """

    prefix: Tensor
    prefix_mask: Tensor
    hidden: Tensor
    logp: Tensor
    without_image: Tensor | None
    logits: Tensor | None = None


class ModelPath(Protocol):
    """A way to run a model.

    Attributes:
        caches_images: whether `cache_image_features` saves anything.
    """

    caches_images: bool

    @property
    def image_token(self) -> int:
        """The token that stands for a piece of an image."""

    @property
    def vocab_size(self) -> int:
        """Number V of logits."""

    def answer_states(
        self, chats: Sequence[Chats], images: Sequence[Images] | None
    ) -> tuple[Tensor, Tensor, list[int]]:
        """States [M, H] that `logits` turns into the distributions of the M answer tokens.

        Args:
            chats: for each context its conversations.
            images: for each context its images; None for conversations without image.

        Returns:
            The states, the answer tokens [M], and the number of tokens of each answer.
        """

    def logits(self, states: Tensor) -> Tensor:
        """Next-token logits in float32, [M, V]."""

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int,
        progress: Callable[[int], object] = ...,
        finished: Callable[[int, list[TokenIds]], object] = ...,
    ) -> list[list[TokenIds]]:
        """Tokens of `sampling.samples` completions for each request, without end tokens."""

    def prompt_ids(self, requests: Sequence[GenerationRequest]) -> list[TokenIds]:
        """Token row of each prompt that `generate` completes, image tokens included."""

    def answer_ids(self, image: Image | None, turns: Sequence[Turn]) -> tuple[TokenIds, tuple[bool, ...]]:
        """Token row of a conversation up to the end of its last answer, and which tokens are this answer's."""

    def unsupported_images(self, images: Sequence[Image]) -> list[str]:
        """Error message per image, '' if it is accepted."""

    def encode_groups(
        self, samples: Sequence[GroupSample], anchor: Anchor, context: Context, extras: GroupExtras = ...
    ) -> GroupBatch:
        """Tokens and pixels of a batch of groups."""

    def run_groups(self, batch: GroupBatch, extras: GroupExtras = ...) -> GroupForward:
        """One forward over a batch of groups, with gradients."""

    def blind_logp(self, rows: TokenRows) -> Tensor:
        """Log-probabilities of the targets of whole rows without image, [R, L], 0 elsewhere; with gradients."""

    def encode_conversations(self, samples: Sequence[TuningSample]) -> ConversationBatch:
        """Tokens, pixels and targets of a batch of VLIT records."""

    def conversation_logp(self, batch: ConversationBatch) -> Tensor:
        """Log-probabilities of the batch's target tokens, [B, L], 0 elsewhere; with gradients."""
