"""Which way a model is run, as the self-check found it."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_c3l.lvlm.base import ConversationError, Images
from lightning_c3l.lvlm.huggingface.attention import ImageBlocks
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.fast_path import FastPath
from lightning_c3l.lvlm.huggingface.forward import Decoder
from lightning_c3l.lvlm.huggingface.model_path import ModelPath, PathName
from lightning_c3l.lvlm.huggingface.output_head import OutputHead
from lightning_c3l.lvlm.huggingface.plain_path import PlainPath


@dataclass(frozen=True)
class PathChoice:
    """A way to run a model, and what was measured for it.

    Attributes:
        name: which.
        reason: why no faster one is used; empty for the fastest.
        head: the step from hidden states to logits.
        blocks: where the tokens of one image attend to each other in both directions.
        copies: completions are generated behind copies of their prompt's cache.
        typed: answers are told from prompts by their `token_type_ids`.
        several: path for conversations with several images; None if none agrees.
    """

    name: PathName
    reason: str = ""
    head: OutputHead = OutputHead()  # noqa: RUF009  # frozen
    blocks: ImageBlocks = "none"
    copies: bool = False
    typed: bool = False
    several: PathName | None = None

    def for_images(self, images: Sequence[Images]) -> "PathChoice":
        """The choice for conversations with these images.

        Raises:
            ConversationError: if one has several images, and the model cannot be run on such conversations.
        """
        if self.several == self.name or all(len(own) < 2 for own in images):
            return self
        if self.several is None:
            raise ConversationError(
                "the model cannot be run on several images of one conversation in agreement with plain forwards"
            )
        return PathChoice(self.several, typed=self.typed, several=self.several)

    def build(self, model: Any, encoder: ChatEncoder) -> ModelPath:
        """The path for a model."""
        encoder.answers_are_typed = self.typed
        if self.name in ("plain", "one_by_one"):
            return PlainPath(model, encoder, self.name == "one_by_one", self.copies)
        copies = self.name == "cached"
        return FastPath(Decoder(model, encoder.images, self.head, self.blocks, copies), encoder)


# what was chosen in this process: equal weights on equal devices need no second check
_CHOSEN = dict[Hashable, PathChoice]()


def once(key: Hashable, choose: Callable[[], PathChoice]) -> PathChoice:
    """The choice for a key, made once in a process."""
    if key not in _CHOSEN:
        _CHOSEN[key] = choose()
    return _CHOSEN[key]
