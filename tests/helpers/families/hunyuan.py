"""HunyuanOCR: positions of four axes, and marks of an image's rows, beginning and end among its tokens."""

from pathlib import Path
from typing import Any

from transformers import (
    HunYuanVLConfig,
    HunYuanVLForConditionalGeneration,
    HunYuanVLImageProcessor,
    HunYuanVLProcessor,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

PATCH = 16
MERGED = 2 * PATCH
PIXELS = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}


def _mark(name: str) -> str:
    return f"<\uff5chy_{name}\uff5c>"


BEGIN, USER, ASSISTANT, SYSTEM = map(_mark, ("begin\u2581of\u2581sentence", "User", "Assistant", "place\u2581holder3"))
PAD, START, STOP, IMAGE = (_mark(f"place\u2581holder\u2581no\u2581{number}") for number in (2, 100, 101, 102))
# marks stand behind what each role says
TEMPLATE = (
    BEGIN + "{% for message in messages %}"
    "{% for part in message['content'] %}"
    f"{{% if part['type'] == 'image' %}}{START}{IMAGE}{STOP}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}"
    "{% endfor %}"
    f"{{% if message['role'] == 'user' %}}{USER}{{% elif message['role'] == 'assistant' %}}{ASSISTANT}"
    f"{{% else %}}{SYSTEM}{{% endif %}}"
    "{% endfor %}"
)


def build_hunyuan_vl(folder: Path) -> None:
    """A tower whose patches a convolution merges, and normalized keys whose base of rotation is scaled."""
    marks: dict[str, Any] = {"image_token": IMAGE, "image_start_token": START, "image_end_token": STOP}
    tokenizer = build_tokenizer(
        [BEGIN, PAD, USER, ASSISTANT, SYSTEM, START, STOP, IMAGE], bos=BEGIN, eos=ASSISTANT, pad=PAD, **marks
    )
    config = HunYuanVLConfig(
        vision_config={**TOWER, "patch_size": PATCH, "max_image_size": 8 * PATCH},
        text_config={
            **DECODER,
            **token_ids(tokenizer),
            "head_dim": 16,
            "rope_parameters": {
                "rope_type": "dynamic",
                "rope_theta": 1e4,
                "factor": 1.0,
                "alpha": 1000.0,
                "mrope_section": [2, 2, 2, 2],
            },
        },
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE),
        im_start_id=tokenizer.convert_tokens_to_ids(START),
        im_end_id=tokenizer.convert_tokens_to_ids(STOP),
        # the real one's are tied: with random weights every token would predict itself
        tie_word_embeddings=False,
    )
    processor = HunYuanVLProcessor(
        image_processor=HunYuanVLImageProcessor(size=PIXELS), tokenizer=tokenizer, chat_template=TEMPLATE
    )
    write_checkpoint(folder, HunYuanVLForConditionalGeneration, config, processor, ASSISTANT)


FAMILIES = {
    "hunyuan-ocr": Family(
        build_hunyuan_vl,
        "hunyuan_vl",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.vision_tower.patch_merger",
        end=ASSISTANT,
        # with the padding of a batch, the logits of its plain forwards change by 2e-3, in float64 as well
        limit=3e-4,
    )
}
