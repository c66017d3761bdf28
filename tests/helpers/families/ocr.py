"""Readers of documents: LightOnOCR, GLM-OCR, PaddleOCR-VL and GOT-OCR 2."""

from pathlib import Path

from transformers import (
    Glm46VImageProcessor,
    Glm46VProcessor,
    Glm46VVideoProcessor,
    GlmOcrConfig,
    GlmOcrForConditionalGeneration,
    GotOcr2Config,
    GotOcr2ForConditionalGeneration,
    GotOcr2ImageProcessor,
    GotOcr2Processor,
    LightOnOcrConfig,
    LightOnOcrForConditionalGeneration,
    LightOnOcrProcessor,
    PaddleOCRVLConfig,
    PaddleOCRVLForConditionalGeneration,
    PaddleOCRVLImageProcessor,
    PaddleOCRVLProcessor,
    PixtralImageProcessor,
    PixtralVisionConfig,
    Qwen2Config,
    Qwen3Config,
)

from tests.helpers.families.family import (
    DECODER,
    TOWER,
    TOWER_HEADS,
    TOWER_WIDTH,
    WIDTH,
    Family,
    token_ids,
    write_checkpoint,
)
from tests.helpers.families.tokens import build_tokenizer

PATCH = 14
MERGED = 2 * PATCH
PIXELS = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}
MROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]}

# ChatML with a system turn, also where nothing is said in it
LIGHTON = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system<|im_end|>\n' }}{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|image_pad|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# GLM's marks of roles, which also end the turn before them
GLM = (
    "{{ '[gMASK]<sop>' }}"
    "{% for message in messages %}<|{{ message['role'] }}|>{{ '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)

# ERNIE's names of roles, an end of sequence behind an answer
PADDLE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] != 'system' %}{{ message['role'] | capitalize + ': ' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>"
    "{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{{ '</s>' if message['role'] == 'assistant' else '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)

# Qwen's turns without new lines between them
GOT = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nFollow the instructions.<|im_end|>' }}{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<img><imgpad></img>\n' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def build_lighton_ocr(folder: Path) -> None:
    """Pixtral's tower with patches merged two by two, and Qwen3."""
    tokenizer = build_tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|image_pad|>", "<|vision_pad|>", "<|vision_end|>"],
        eos="<|im_end|>",
        pad="<|endoftext|>",
        image_token="<|image_pad|>",
        image_break_token="<|vision_pad|>",
        image_end_token="<|vision_end|>",
    )
    config = LightOnOcrConfig(
        vision_config=PixtralVisionConfig(**TOWER, head_dim=16, image_size=4 * MERGED, patch_size=PATCH),
        text_config=Qwen3Config(**DECODER, **token_ids(tokenizer), head_dim=16, tie_word_embeddings=True),
        image_token_id=tokenizer.convert_tokens_to_ids("<|image_pad|>"),
    )
    processor = LightOnOcrProcessor(
        # sides that whole groups of patches fill
        image_processor=PixtralImageProcessor(patch_size=MERGED, size={"longest_edge": 4 * MERGED}),
        tokenizer=tokenizer,
        patch_size=PATCH,
        chat_template=LIGHTON,
    )
    write_checkpoint(folder, LightOnOcrForConditionalGeneration, config, processor, "<|im_end|>")


def build_glm_ocr(folder: Path) -> None:
    """GLM-4V's tower and a GLM decoder with positions in three axes; the next role's mark ends a turn."""
    specials = ["<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>"]
    marks = {"image": "<|image|>", "video": "<|video|>"}
    for name in marks.copy():
        marks |= {f"{name}_start": f"<|begin_of_{name}|>", f"{name}_end": f"<|end_of_{name}|>"}
    tokenizer = build_tokenizer(
        [*specials, *marks.values()],
        eos="<|endoftext|>",
        pad="<|endoftext|>",
        image_token="<|image|>",
        video_token="<|video|>",
    )
    config = GlmOcrConfig(
        vision_config={
            "depth": 2,
            "hidden_size": TOWER_WIDTH,
            "intermediate_size": 2 * TOWER_WIDTH,
            "num_heads": TOWER_HEADS,
            "out_hidden_size": WIDTH,
            "image_size": 4 * MERGED,
        },
        text_config={**DECODER, **token_ids(tokenizer), "head_dim": 16, "rope_parameters": MROPE},
        **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in marks.items()},
    )
    # a patch holds two frames, and so does the least number of pixels
    pixels = {edge: 2 * pixels for edge, pixels in PIXELS.items()}
    processor = Glm46VProcessor(
        image_processor=Glm46VImageProcessor(size=pixels),
        tokenizer=tokenizer,
        video_processor=Glm46VVideoProcessor(size=pixels),
        chat_template=GLM,
    )
    write_checkpoint(folder, GlmOcrForConditionalGeneration, config, processor, "<|user|>")


def build_paddleocr_vl(folder: Path) -> None:
    """SigLIP with rotary positions, and ERNIE 4.5 with positions in three axes."""
    marks = {"image": "<|IMAGE_PLACEHOLDER|>", "video": "<|VIDEO_PLACEHOLDER|>"}
    marks |= {"vision_start": "<|IMAGE_START|>", "vision_end": "<|IMAGE_END|>"}
    tokenizer = build_tokenizer(
        ["<unk>", "<s>", "</s>", "<pad>", *marks.values()],
        bos="<s>",
        eos="</s>",
        pad="<pad>",
        image_token="<|IMAGE_PLACEHOLDER|>",
    )
    config = PaddleOCRVLConfig(
        vision_config={**TOWER, "image_size": 4 * MERGED, "patch_size": PATCH},
        text_config={**DECODER, **token_ids(tokenizer), "head_dim": 16, "rope_parameters": MROPE},
        **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in marks.items()},
        tie_word_embeddings=False,
    )
    processor = PaddleOCRVLProcessor(
        image_processor=PaddleOCRVLImageProcessor(size=PIXELS), tokenizer=tokenizer, chat_template=PADDLE
    )
    write_checkpoint(folder, PaddleOCRVLForConditionalGeneration, config, processor, "</s>")


def build_got_ocr2(folder: Path) -> None:
    """SAM's tower, a layer with windows and one without, two strided convolutions, and Qwen2."""
    # the processor writes 256 tokens an image, whatever the size: 64 x 64 patches, halved twice by the convolutions
    side, patch, tokens = 256, 4, 256
    tokenizer = build_tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<imgpad>"],
        eos="<|im_end|>",
        pad="<|endoftext|>",
        image_token="<imgpad>",
    )
    config = GotOcr2Config(
        vision_config={
            "hidden_size": TOWER_WIDTH // 2,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "mlp_dim": TOWER_WIDTH,
            "output_channels": TOWER_WIDTH // 2,
            "image_size": side,
            "patch_size": patch,
            "window_size": 14,
            "global_attn_indexes": [1],
        },
        text_config=Qwen2Config(**DECODER, **token_ids(tokenizer), tie_word_embeddings=True),
        image_token_index=tokenizer.convert_tokens_to_ids("<imgpad>"),
        image_seq_length=tokens,
    )
    processor = GotOcr2Processor(
        image_processor=GotOcr2ImageProcessor(size={"height": side, "width": side}),
        tokenizer=tokenizer,
        chat_template=GOT,
    )
    write_checkpoint(folder, GotOcr2ForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "lighton-ocr": Family(
        build_lighton_ocr,
        "lighton_ocr",
        decoder="model.language_model",
        tower="model.vision_encoder",
        projector="model.vision_projection",
        end="<|im_end|>",
    ),
    "glm-ocr": Family(
        build_glm_ocr,
        "glm_ocr",
        decoder="model.language_model",
        tower="model.visual",
        projector="model.visual.merger",
        end="<|user|>",
        closes=False,
    ),
    "paddleocr-vl": Family(
        build_paddleocr_vl,
        "paddleocr_vl",
        decoder="model.language_model",
        tower="model.visual",
        projector="model.projector",
        end="</s>",
    ),
    "got-ocr2": Family(
        build_got_ocr2,
        "got_ocr2",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="<|im_end|>",
        flat_images=True,
        one_image="its processor takes several images for the pages of one",
    ),
}
