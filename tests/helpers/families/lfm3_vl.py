"""LFM3-VL: convolutions in the tower and in the decoder, images of any size on a grid."""

from pathlib import Path

from transformers import (
    Lfm3Config,
    Lfm3VlConfig,
    Lfm3VlForConditionalGeneration,
    Lfm3VlProcessor,
    Qwen2VLImageProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.models.lfm3_vl.configuration_lfm3_vl import Lfm3VlVisionConfig

from tests.helpers.families.family import DECODER, TOWER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.lfm2_vl import TEMPLATE
from tests.helpers.families.qwen import named_tokens
from tests.helpers.families.qwen3_vl import PIXELS
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<|pad|>",
    "<|startoftext|>",
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
]
# shorter than any prompt
WINDOW = 16


def build_lfm3_vl(folder: Path) -> None:
    """A decoder with a convolution, a window and a full layer."""
    tokenizer = build_tokenizer(SPECIALS, bos="<|startoftext|>", eos="<|im_end|>", pad="<|pad|>", begins=True)
    config = Lfm3VlConfig(
        vision_config=Lfm3VlVisionConfig(**TOWER, num_key_value_heads=1, layer_types=["conv", "full_attention"]),
        text_config=Lfm3Config(
            **DECODER | {"num_hidden_layers": 3},
            **token_ids(tokenizer),
            head_dim=16,
            sliding_window=WINDOW,
            layer_types=["conv", "sliding_attention", "full_attention"],
        ),
        projector_hidden_size=WIDTH,
        tie_word_embeddings=True,
        **named_tokens(tokenizer),
    )
    processor = Lfm3VlProcessor(
        image_processor=Qwen2VLImageProcessor(size=PIXELS, patch_size=16),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(size=PIXELS),
        chat_template=TEMPLATE.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    write_checkpoint(folder, Lfm3VlForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "lfm3-vl": Family(
        build_lfm3_vl,
        "lfm3_vl",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|im_end|>",
    ),
}
