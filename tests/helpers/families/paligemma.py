"""PaliGemma and PaliGemma 2: image and question see each other in both directions, only the answer is causal."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import (
    Gemma2Config,
    GemmaConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    SiglipImageProcessor,
    SiglipVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.gemma import WINDOW
from tests.helpers.families.tokens import build_tokenizer

SIDE, PATCH = 56, 14
IMAGE_TOKENS = (SIDE // PATCH) ** 2

# the checkpoint brings no chat template: this one is supplied. Where there is an image, the processor itself writes
# the beginning of the sequence behind it and a new line behind all
TEMPLATE = (
    "{% set seen = namespace(image=false) %}"
    "{% for message in messages %}{% for part in message['content'] if part['type'] == 'image' %}"
    "{% set seen.image = true %}{% endfor %}{% endfor %}"
    "{% if not seen.image %}{{ bos_token }}{% endif %}"
    "{% for message in messages %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% if not loop.last or (add_generation_prompt and not seen.image) %}{{ '\n' }}{% endif %}"
    "{% endfor %}"
)


def _build(folder: Path, decoder: Callable[..., Any], **options: Any) -> None:
    tokenizer = build_tokenizer(["<pad>", "<eos>", "<bos>", "<unk>"], bos="<bos>", eos="<eos>", pad="<pad>")
    # adds its image token and those of places in the image to the tokenizer
    processor = PaliGemmaProcessor(
        image_processor=SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, image_seq_length=IMAGE_TOKENS),
        tokenizer=tokenizer,
    )
    config = PaliGemmaConfig(
        vision_config=SiglipVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH, vision_use_head=False),
        text_config=decoder(**DECODER | options, **token_ids(tokenizer), head_dim=16),
        image_token_index=processor.image_token_id,
        projection_dim=WIDTH,
        hidden_size=WIDTH,
        # the real one's are tied: with random weights every token would predict itself
        tie_word_embeddings=False,
    )
    write_checkpoint(folder, PaliGemmaForConditionalGeneration, config, processor, "<eos>")


def build_paligemma(folder: Path) -> None:
    """SigLIP and Gemma with one head of keys; 16 tokens an image of any size."""
    _build(folder, GemmaConfig, num_key_value_heads=1)


def build_paligemma2(folder: Path) -> None:
    """SigLIP and Gemma 2: one layer that sees a window and one that sees all, scores and logits bent."""
    _build(
        folder,
        Gemma2Config,
        query_pre_attn_scalar=16,
        sliding_window=WINDOW,
        layer_types=["sliding_attention", "full_attention"],
        attn_logit_softcapping=50.0,
        # low, so that it bends the logits of random weights
        final_logit_softcapping=10.0,
    )


_PARTS: dict[str, Any] = {
    "decoder": "model.language_model",
    "tower": "model.vision_tower",
    "projector": "model.multi_modal_projector",
    "end": "<eos>",
    "chat_template": TEMPLATE,
    "sees_prompt": True,
    "appends": "a line break",
}
FAMILIES = {
    "paligemma": Family(build_paligemma, "paligemma", **_PARTS),
    "paligemma-2": Family(build_paligemma2, "paligemma", **_PARTS),
}
