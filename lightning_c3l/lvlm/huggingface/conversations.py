"""VLIT records as training batches, with the loss on the assistant's turns only."""

from collections.abc import Sequence

from PIL import Image

from lightning_c3l.lvlm.base import ConversationError, Images
from lightning_c3l.lvlm.samples import TuningSample


def images_of(samples: Sequence[TuningSample]) -> list[Images]:
    """The images of each record."""
    return [(image,) if isinstance(image, Image.Image) else image or () for _, image in samples]


def require_supervised(sample: TuningSample, answer: Sequence[bool]) -> None:
    """Raise a ConversationError if an encoded record has no answer token; targets count the end of an empty turn."""
    if not any(answer):
        raise ConversationError(f"record {sample[0].id}: no supervised token (no assistant turn with text)")
