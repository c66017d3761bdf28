"""Generation outside of this process, such as on inference servers, with the weights of an LVLM of this process."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from PIL.Image import Image

from lightning_c3l.lvlm.base import GenerationRequest, RoundLVLM, TextGenerator
from lightning_c3l.records import Turn

# name, in manifests, of the precision that a generator computes in
GENERATOR_DTYPE = "generator_dtype"


@dataclass(frozen=True)
class RequestOptions:
    """What a generator outside of this process must be told about an LVLM.

    Attributes:
        end_ids: tokens that end a completion.
        forbidden_ids: tokens that are never sampled, such as the image token.
        template_options: values of the chat template's variables.
        adds_special_tokens: whether the tokenizer must add its special tokens to rendered conversations, since the
            chat template does not write them.
    """

    end_ids: tuple[int, ...]
    forbidden_ids: tuple[int, ...] = ()
    template_options: dict[str, Any] = field(default_factory=dict)
    adds_special_tokens: bool = False


class ServableLVLM(RoundLVLM, Protocol):
    """An LVLM of this process for which an `ExternalGenerator` can generate."""

    @property
    def is_reference(self) -> bool:
        """Whether it runs with the weights from before training now (inside `reference()`)."""

    def is_untrained(self) -> bool:
        """Whether its weights are those that its checkpoint holds."""

    def adapted_outside_decoder(self) -> list[str]:
        """Names of the layers with adapters that servers ignore: those of the vision tower, projector and head."""

    def prompt_ids(self, requests: Sequence[GenerationRequest]) -> list[tuple[int, ...]]:
        """Token row of each prompt, image tokens expanded and the answer prefix at its end.

        Raises:
            ConversationError: if the chat template does not accept a prompt.
            ImageError: if an image is not supported.
        """

    def answer_ids(self, image: Image | None, turns: Sequence[Turn]) -> tuple[tuple[int, ...], tuple[bool, ...]]:
        """Token row of a conversation, and which tokens are those of its last answer (end-of-turn excluded).

        Raises:
            ConversationError: if the chat template does not accept the conversation.
            ImageError: if the image is not supported.
        """

    def request_options(self) -> RequestOptions:
        """What a server must be told so that it generates as `generate` does."""

    def clean(self, text: str) -> str:
        """A text without control tokens, as the LVLM reads it."""

    def save_merged(self, folder: Path) -> None:
        """Write all weights, adapters folded in, in the layout of the Hub's checkpoints."""


class ExternalGenerator(TextGenerator, Protocol):
    """Generates outside of this process, with the weights of an LVLM of this process.

    Attributes:
        requests_at_once: number of requests that one call of `generate` should be given, to keep it busy.
    """

    requests_at_once: int

    def identity(self) -> dict[str, str]:
        """What its texts depend on beside the LVLM, as settings of a manifest.

        Returns:
            `generator`: engine, version and served model. `GENERATOR_DTYPE`: precision, or `manifest.UNKNOWN`.

        Raises:
            LVLMError: if it cannot be asked.
        """

    def serving(self, lvlm: ServableLVLM) -> AbstractContextManager[None]:
        """Within this context, `generate` uses the weights of `lvlm` as they are on entering it.

        Inside `lvlm.reference()` these are the ones from before training. Collective: all ranks enter and leave
        together, with whole weights. A block inside a block does nothing.

        Raises:
            LVLMError: on entering it, if the generator cannot use these weights, or does not.
        """
