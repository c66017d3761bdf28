"""Gemma 3: layers that see a window, and image tokens that see each other."""

from pathlib import Path

from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessor,
    Gemma3Processor,
    Gemma3TextConfig,
    SiglipVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.templates import GEMMA
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<start_of_turn>",
    "<end_of_turn>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
]
SIDE, PATCH, IMAGE_TOKENS = 112, 14, 16
# shorter than any prompt, and just so that an image's first token still sees its last
WINDOW = 16


def build_gemma(folder: Path) -> None:
    """SigLIP with its patches averaged four by four, one sliding and one full layer."""
    tokenizer = build_tokenizer(
        SPECIALS,
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        begins=True,
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        image_token="<image_soft_token>",
    )
    config = Gemma3Config(
        vision_config=SiglipVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH, vision_use_head=False),
        text_config=Gemma3TextConfig(
            **DECODER,
            **token_ids(tokenizer),
            head_dim=16,
            query_pre_attn_scalar=16,
            sliding_window=WINDOW,
            layer_types=["sliding_attention", "full_attention"],
        ),
        # the real one's are tied: with random weights every token would predict itself
        tie_word_embeddings=False,
        mm_tokens_per_image=IMAGE_TOKENS,
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
    )
    processor = Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        image_seq_length=IMAGE_TOKENS,
        chat_template=GEMMA,
    )
    write_checkpoint(folder, Gemma3ForConditionalGeneration, config, processor, "<end_of_turn>")


FAMILIES = {
    "gemma-3": Family(
        build_gemma,
        "gemma3",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<end_of_turn>",
    )
}
