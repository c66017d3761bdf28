"""A family's checkpoint as transformers alone loads and runs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from tests.helpers.families.family import Family

Message = dict[str, Any]


@dataclass(frozen=True)
class Native:
    """A family's model and processor, used as its documentation says.

    Attributes:
        family: which one.
        processor: the checkpoint's processor.
        model: the transformers model.
    """

    family: Family
    processor: Any
    model: Any

    @classmethod
    def load(cls, family: Family, folder: Path) -> "Native":
        """The checkpoint in that folder, by transformers' automatic classes."""
        assert AutoConfig.from_pretrained(folder).model_type == family.model_type
        model = AutoModelForImageTextToText.from_pretrained(folder).eval()
        return cls(family, AutoProcessor.from_pretrained(folder), model)

    def render(self, said: Sequence[Message]) -> str:
        """Text of a conversation; the assistant's turn is opened if the user speaks last."""
        supplied = {"chat_template": self.family.chat_template} if self.family.chat_template else {}
        opened = said[-1]["role"] != "assistant"
        text = self.processor.apply_chat_template(said, tokenize=False, add_generation_prompt=opened, **supplied)
        return str(text)

    def tokenize(self, text: str, images: Sequence[Image] = ()) -> dict[str, Tensor]:
        """Model inputs [1, L] of a rendered conversation."""
        bos = self.processor.tokenizer.bos_token
        options: dict[str, Any] = {
            "add_special_tokens": not (bos and text.startswith(bos)),
            "return_tensors": "pt",
        }
        if not images:
            return dict(self.processor.tokenizer(text, **options))
        # one list: GOT-OCR takes a list in a list for the pages of one document
        return dict(self.processor(text=[text], images=list(images), **options))

    def inputs(self, said: Sequence[Message]) -> dict[str, Tensor]:
        """Model inputs [1, L] of a conversation."""
        images = [part["image"] for message in said for part in message["content"] if part["type"] == "image"]
        return self.tokenize(self.render(said), images)

    @torch.no_grad()
    def logits(self, inputs: dict[str, Tensor]) -> Tensor:
        """Logits [L, V] of one plain forward; of the first step where the decoder has its own input."""
        begun = {}
        if self.model.config.is_encoder_decoder:
            begun["decoder_input_ids"] = torch.tensor([[self.model.generation_config.decoder_start_token_id]])
        return self.model(**inputs, **begun).logits[0]  # type: ignore[no-any-return]


def ask(text: str, *images: Image) -> list[Message]:
    """A question about images that stand before it."""
    pictures = [{"type": "image", "image": image} for image in images]
    return [{"role": "user", "content": [*pictures, {"type": "text", "text": text}]}]
