"""The interface to LVLMs: protocols by what a caller needs, and the values that go in and out.

A provider is one folder beside this file. One that can only generate and score implements `InferenceLVLM`; one whose
weights can be trained here implements `TrainableLVLM` too. A client of inference servers, which generates for such an
LVLM with its weights, implements `ExternalGenerator` (in external.py).
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, Self

import torch
from PIL.Image import Image
from torch import Tensor, nn

from lightning_c3l.lvlm.batches import ConversationBatch, GroupBatch, GroupLogp, GroupStates
from lightning_c3l.lvlm.errors import ConversationError as ConversationError
from lightning_c3l.lvlm.errors import ImageError as ImageError
from lightning_c3l.lvlm.errors import LVLMError as LVLMError
from lightning_c3l.lvlm.samples import GroupSample, TuningSample
from lightning_c3l.records import Turn

# the images of a conversation, in the order of their slots; as a rule one
Images = Sequence[Image]
# conversations about the same images
Chats = Sequence[Sequence[Turn]]
Anchor = Literal["prompt", "image", "instruction", "description"]
Context = Literal["image", "text"]
# what `anchor: description` asks of the model, while a round is made and while it is trained
DESCRIBE = "Describe the picture."


@dataclass(frozen=True)
class GroupExtras:
    """What some losses need of a batch of groups beside its hidden states and the likelihood of its positives.

    Attributes:
        negatives: the log-probabilities of the negatives too.
        blind: the texts without their image, for `blind_logp`.
        answer_logits: all logits of the answering rows.
        depth: which hidden layer is read, as a share of the decoder's layers; 1 is the last one.
    """

    negatives: bool = False
    blind: bool = False
    answer_logits: bool = False
    depth: float = 1.0


@dataclass(frozen=True)
class Sampling:
    """How completions are sampled.

    Attributes:
        samples: completions per prompt.
        max_new_tokens: maximum length of a completion, in tokens.
        temperature: sampling temperature; 0 is greedy decoding (then `samples` must be 1).
        top_p: nucleus sampling: the likeliest tokens that together reach this probability mass are kept.
    """

    samples: int = 4
    max_new_tokens: int = 64
    temperature: float = 0.7
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Validate the ranges."""
        for name, count in (("samples", self.samples), ("max_new_tokens", self.max_new_tokens)):
            if count < 1:
                raise ValueError(f"sampling.{name} must be at least 1, not {count}")
        if not self.temperature >= 0:
            raise ValueError(f"sampling.temperature must be at least 0, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"sampling.top_p must be above 0 and at most 1, not {self.top_p}")
        if self.temperature == 0 and self.samples > 1:
            raise ValueError("temperature 0 gives the same text each time: set samples to 1 or raise temperature")


@dataclass(frozen=True)
class GenerationRequest:
    """A prompt to complete.

    Attributes:
        prompt: the user's turn.
        image: shown before the prompt; None for a prompt without image.
        seed: of this request's samples; nothing else of a batch influences them.
        answer_prefix: beginning of the assistant's turn, which the completions continue; they do not repeat it.
    """

    prompt: str
    image: Image | None = None
    seed: int = 0
    answer_prefix: str = ""


@dataclass(frozen=True)
class AnswerTokens:
    """Teacher-forced statistics of the tokens of R answers (all turns of the assistant), end-of-turn excluded.

    Attributes:
        logp_image: log-probability of each token given the image, [R, T].
        logp_blind: without the image, [R, T].
        kl: divergence of the two next-token distributions over the vocabulary, [R, T].
        mask: True where there is a token, [R, T].
        logp_shuffled: with another sample's image, [R, T], where asked for.
    """

    logp_image: Tensor
    logp_blind: Tensor
    kl: Tensor
    mask: Tensor
    logp_shuffled: Tensor | None = None


class LVLM(Protocol):
    """What all providers share: identity, for manifests and reports, and the handling of images.

    Attributes:
        name: what the user called it: a checkpoint folder, a Hub name or a server's model.
        fingerprint: short hash of the weights; LVLMs with equal fingerprints give equal results.
    """

    name: str
    fingerprint: str

    @property
    def dtype(self) -> torch.dtype | None:
        """Precision of the weights; None if unknown."""

    @property
    def chat_template(self) -> str:
        """Template that conversations are rendered with; empty if unknown."""

    @property
    def network(self) -> nn.Module:
        """The weights in this process, for Lightning to move and to train; an empty module if they are elsewhere."""

    def unsupported_images(self, images: Sequence[Image]) -> list[str]:
        """Error message per image, '' if the LVLM accepts it.

        An image object that is accepted here is not refused by `generate`, `score` or `mean_nll`, except together
        with a conversation that is too long.
        """

    def cache_image_features(self) -> AbstractContextManager[None]:
        """Within this context, each image object is encoded once, whatever is generated or scored about it.

        It never changes a result: a provider without such a cache, or whose vision tower is being trained, does
        nothing. The caller keeps the image objects alive and unchanged inside.
        """


class TextGenerator(LVLM, Protocol):
    """An LVLM that completes prompts."""

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: Sampling,
        batch_size: int | None = None,
        progress: Callable[[int], object] = ...,
        finished: Callable[[int, list[str]], object] = ...,
    ) -> list[list[str]]:
        """Sample `sampling.samples` completions for each request.

        The k-th completion of a request depends on its prompt, image, seed and prefix and on k only, not on the other
        requests or on the batch size. In float32 on one CPU that holds to the character; in lower precision, or on
        other hardware, another batch size may round differently and so flip a token.

        Args:
            requests: prompts; the same image object may occur in several.
            sampling: how completions are sampled.
            batch_size: requests that run at the same time; default all.
            progress: called with the number of completions that have ended since the last call.
            finished: called with the index of a request and its completions as soon as all of them have ended, so
                that they survive an interruption.

        Returns:
            For each request its completions, without special tokens and surrounding white space.

        Raises:
            ConversationError: if a prompt and `max_new_tokens` exceed the context.
            ImageError: if an image is not supported.
            torch.OutOfMemoryError: if the batch does not fit; what was finished has been handed out.
        """


class AnswerScorer(LVLM, Protocol):
    """An LVLM that gives the log-probabilities of answers."""

    def score(
        self, images: Sequence[Images], chats: Sequence[Chats], shuffled: Sequence[Images] | None = None
    ) -> AnswerTokens:
        """Statistics of the tokens of every assistant turn, given the turns before it.

        Args:
            images: for each of B contexts its images.
            chats: for each context its conversations.
            shuffled: for each context the images of another one, as many as its own, for the shuffled-image control.

        Returns:
            One row per assistant turn, in the order of contexts, conversations and turns. Rows do not depend on the
            others of the batch beyond rounding (1e-5 in float32).

        Raises:
            ConversationError: if a conversation exceeds the context or the chat template does not accept it.
            ImageError: if an image is not supported.
        """

    def answer_texts(self, chats: Sequence[Chats]) -> list[list[str]]:
        """Text of each token of every assistant turn: one list per row of `score`, one text per token of it.

        Joined, the texts of a turn are its text, without what the LVLM does not read of it (control tokens, blanks at
        its ends). A token that continues a character of the token before has ''.

        Args:
            chats: as given to `score`.

        Raises:
            ConversationError: if the chat template does not accept a conversation.
        """

    def mean_nll(self, images: Sequence[Images], chats: Sequence[Chats]) -> list[list[float]]:
        """Mean negative log-likelihood per token of the assistant's turns of each conversation, in nats.

        As in `score`, end-of-turn tokens are not counted.

        Args:
            images: for each of B contexts its images; empty for conversations without image.
            chats: for each context its conversations.

        Returns:
            One value per conversation and context; NaN for a conversation whose assistant turns have no token.

        Raises:
            ConversationError: if a conversation exceeds the context or the chat template does not accept it.
            ImageError: if an image is not supported.
        """


class TrainableLVLM(LVLM, Protocol):
    """An LVLM whose weights are in this process and can be trained."""

    @property
    def hidden_size(self) -> int:
        """Width H of the decoder's hidden states."""

    @property
    def decoder_layers(self) -> nn.ModuleList:
        """The decoder's layers, which FSDP shards one by one."""

    @property
    def saved_as(self) -> str:
        """Name of the folder for `save`: "adapter", or "model" if all weights are trained."""

    def fresh(self) -> Self:
        """A new LVLM with the same options and the weights as they were before training."""

    def reference(self) -> AbstractContextManager[None]:
        """Within this context, the LVLM generates and scores with the weights as they were before training.

        Raises:
            LVLMError: on entering it, if all weights are trained and no copy of the original ones is kept.
        """

    def prepare_training(self) -> None:
        """Check how training batches are run; called before training, with whole weights on their device.

        Raises:
            LVLMError: if the LVLM cannot be trained.
        """

    def encode_groups(
        self,
        samples: Sequence[GroupSample],
        anchor: Anchor,
        context: Context,
        extras: GroupExtras = ...,
    ) -> GroupBatch:
        """Tokens and pixels of a batch of groups, on the CPU.

        Args:
            samples: G groups.
            anchor: what the anchor embedding is pooled from.
            context: "image" if candidates are read after image and instruction, "text" for the instruction alone.
            extras: what else is needed of them.

        Raises:
            LVLMError: if a text has no token.
            ConversationError: if a row exceeds the context.
            ImageError: if an image is not supported.
        """

    def group_states(
        self, batch: GroupBatch, anchor: Anchor, context: Context, extras: GroupExtras = ...
    ) -> GroupStates:
        """Log-probabilities and hidden states of a batch of groups, with gradients.

        Args:
            batch: from `encode_groups` with the same options, on the network's device.
            anchor: as given to `encode_groups`.
            context: as given to `encode_groups`.
            extras: as given to `encode_groups`.

        Raises:
            LVLMError: if the model has no hidden states, or no image tokens, of the kind that is asked for.
        """

    def blind_logp(self, batch: GroupBatch) -> GroupLogp:
        """Log-probabilities of the texts of a batch of groups without their image, with gradients.

        Args:
            batch: from `encode_groups` with `blind`, on the network's device.

        Raises:
            LVLMError: if a text has other tokens without its image.
        """

    def encode_conversations(self, samples: Sequence[TuningSample]) -> ConversationBatch:
        """Tokens, pixels and targets of a batch of VLIT records, on the CPU; records with and without images may mix.

        Raises:
            ConversationError: if a record has no supervised token or exceeds the context; names the record.
            ImageError: if an image is not supported.
        """

    def conversation_logp(self, batch: ConversationBatch) -> Tensor:
        """Log-probabilities of the batch's target tokens, [B, L], 0 elsewhere; with gradients."""

    def save(self, folder: Path) -> None:
        """Write the adapter, or all weights, to a folder that the provider can load again.

        The weights must be whole on this process (see `whole_weights` of the modules).
        """


class InferenceLVLM(TextGenerator, AnswerScorer, Protocol):
    """An LVLM that can make and score candidates: all that the records of a round need."""


class RoundLVLM(InferenceLVLM, TrainableLVLM, Protocol):
    """An LVLM that is trained on candidates that it generates and scores itself."""


def require_reference(lvlm: TrainableLVLM, options: Sequence[str]) -> None:
    """Refuse options that need the starting model where it is not kept.

    Args:
        lvlm: the LVLM.
        options: those in use, none of them if there are none.

    Raises:
        ValueError: names the first option.
    """
    if not options:
        return
    try:
        with lvlm.reference():
            pass
    except LVLMError as error:
        raise ValueError(f"{options[0]} needs the starting model: {error}") from error
