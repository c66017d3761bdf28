"""A check that running the decoder alone gives the logits of the whole model."""

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.forward import Decoder, PromptRows
from lightning_c3l.lvlm.huggingface.images import grid_of

# inputs that are not pixels
_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
# relative difference: bfloat16 rounding stays below 0.02, families that compute something else are above 0.1
_TOLERANCE = 0.05


@torch.no_grad()
def require_agreement(decoder: Decoder, encoder: ChatEncoder) -> None:
    """Compare the logits of a prompt with an image, and of one without, with those of the model's own forward.

    Some families do more than run a decoder on embeddings: they add image features to deeper layers (Qwen3-VL) or
    scale the logits. Their results would be wrong without any sign of it.

    Raises:
        LVLMError: if the logits differ; names the model's class.
    """
    model = decoder.model
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        # an image without two equal patches
        image = Image.linear_gradient("L").convert("RGB")
        text = f"{encoder.images.placeholder} What is this?"
        with_image = encoder.processor(text=[text], images=[[image]], return_tensors="pt")
        without_image = encoder.tokenizer("What is this?", return_tensors="pt")
        for batch in (with_image, without_image):
            inputs = {name: value.to(model.device) for name, value in batch.items() if isinstance(value, Tensor)}
            _compare(decoder, encoder.name, inputs)
    finally:
        for part in training:
            part.training = True


def _compare(decoder: Decoder, name: str, inputs: dict[str, Any]) -> None:
    pixels = {key: value for key, value in inputs.items() if key not in _TEXT}
    features = decoder.features(pixels) if pixels else None
    ids = inputs["input_ids"]
    mine = decoder.logits(decoder.run_rows(PromptRows(ids, torch.ones_like(ids).bool(), features, grid_of(pixels)))[0])
    theirs = decoder.model(**inputs, use_cache=False).logits.float()
    difference = float((mine - theirs).norm() / theirs.norm())
    if not difference <= _TOLERANCE:
        raise LVLMError(
            f"{name}: {type(decoder.model).__name__} computes its logits in a way that is not reproduced here "
            f"(relative difference {difference:.2f}): this kind of LVLM is not supported"
        )
