"""SmolVLM: a grid of tiles, each with its place written before it, and the whole picture."""

from pathlib import Path

from transformers import (
    LlamaConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
    SmolVLMVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.templates import SMOLVLM
from tests.helpers.families.tokens import build_tokenizer

SIDE, PATCH, SHUFFLE = 56, 14, 2
TILE_TOKENS = (SIDE // PATCH) ** 2 // SHUFFLE**2
SPECIALS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<fake_token_around_image>",
    "<image>",
    "<global-img>",
    "<end_of_utterance>",
    *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)),
]


def build_smolvlm(folder: Path) -> None:
    """A tower of its own and Llama; at most 2 x 2 tiles of 4 tokens, and 4 for the whole."""
    tokenizer = build_tokenizer(SPECIALS, bos="<|im_start|>", eos="<end_of_utterance>", pad="<|im_end|>")
    config = SmolVLMConfig(
        vision_config=SmolVLMVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH),
        text_config=LlamaConfig(**DECODER, **token_ids(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=SHUFFLE,
        pad_token_id=tokenizer.pad_token_id,
    )
    edges = {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}}
    processor = SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(**edges),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(**edges),
        image_seq_len=TILE_TOKENS,
        chat_template=SMOLVLM,
    )
    write_checkpoint(folder, SmolVLMForConditionalGeneration, config, processor, "<end_of_utterance>")


FAMILIES = {
    "smolvlm": Family(
        build_smolvlm,
        "smolvlm",
        decoder="model.text_model",
        tower="model.vision_model",
        projector="model.connector",
        end="<end_of_utterance>",
    )
}
