"""VideoLLaMA 3: images of any size before Qwen2, without a position in three axes."""

from pathlib import Path

from transformers import (
    Qwen2Config,
    VideoLlama3Config,
    VideoLlama3ForConditionalGeneration,
    VideoLlama3ImageProcessor,
    VideoLlama3Processor,
    VideoLlama3VideoProcessor,
    VideoLlama3VisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

PATCH = 14
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>"]
PIXELS = {"shortest_edge": 4 * PATCH**2, "longest_edge": 24 * PATCH**2}
# a system turn where none is given, and a new line after an image
TEMPLATE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}"
    "{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|image_pad|>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_video_llama(folder: Path) -> None:
    """A tower with rotary positions whose patches are merged two by two, and Qwen2."""
    tokenizer = build_tokenizer(
        SPECIALS,
        eos="<|im_end|>",
        pad="<|endoftext|>",
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
    )
    config = VideoLlama3Config(
        vision_config=VideoLlama3VisionConfig(**TOWER, patch_size=PATCH),
        text_config=Qwen2Config(**DECODER, **token_ids(tokenizer), tie_word_embeddings=True),
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video_pad|>"),
    )
    processor = VideoLlama3Processor(
        image_processor=VideoLlama3ImageProcessor(size=PIXELS),
        tokenizer=tokenizer,
        video_processor=VideoLlama3VideoProcessor(size=PIXELS),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, VideoLlama3ForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "video-llama-3": Family(
        build_video_llama,
        "video_llama_3",
        decoder="model.language_model",
        tower="model.vision_model",
        projector="model.projector",
        end="<|im_end|>",
    )
}
