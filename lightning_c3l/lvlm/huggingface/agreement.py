"""A loud check that a model does nothing that our own way through its decoder leaves out."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.forward import Decoder, Prompts
from lightning_c3l.lvlm.huggingface.images import grid_of

# inputs that are no pixels
_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
# share of the logits' norm; bfloat16 rounding stays below 0.02, a family that computes something else lies above 0.1
_TOLERANCE = 0.05


@torch.no_grad()
def require_agreement(decoder: Decoder, encoder: ChatEncoder) -> None:
    """Compare one prompt with an image, and one without, with the model's own forward.

    Some families do more than a decoder does from embeddings: they add image features to deeper layers (Qwen3-VL), or
    scale the head's output. Their figures would be wrong without any sign.

    Raises:
        LVLMError: if the logits differ, naming the kind of model.
    """
    model = decoder.model
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        # values that no two patches share
        image = Image.linear_gradient("L").convert("RGB")
        text = f"{encoder.images.placeholder} What is this?"
        seen = encoder.processor(text=[text], images=[[image]], return_tensors="pt")
        blind = encoder.tokenizer("What is this?", return_tensors="pt")
        for batch in (seen, blind):
            inputs = {name: value.to(model.device) for name, value in batch.items() if isinstance(value, Tensor)}
            _compare(decoder, encoder.name, inputs)
    finally:
        for part in training:
            part.training = True


def _compare(decoder: Decoder, name: str, inputs: dict[str, Any]) -> None:
    features = None
    pixels = {key: value for key, value in inputs.items() if key not in _TEXT}
    if pixels:
        features = decoder.features(pixels)
    ids = inputs["input_ids"]
    mine = decoder.logits(decoder.whole_rows(Prompts(ids, torch.ones_like(ids).bool(), features, grid_of(pixels)))[0])
    theirs = decoder.model(**inputs, use_cache=False).logits.float()
    difference = float((mine - theirs).norm() / theirs.norm())
    if not difference <= _TOLERANCE:
        raise LVLMError(
            f"{name}: {type(decoder.model).__name__} computes its logits in a way that scoring here would not follow "
            f"(relative difference {difference:.2f}): this kind of LVLM is not supported"
        )
