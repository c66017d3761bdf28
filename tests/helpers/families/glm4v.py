"""GLM-4.1V, GLM-4.6V-Flash and GLM-4.5V: a turn ends where the next one begins."""

from pathlib import Path
from typing import Any

from transformers import (
    Glm4vConfig,
    Glm4vForConditionalGeneration,
    Glm4vImageProcessor,
    Glm4vMoeConfig,
    Glm4vMoeForConditionalGeneration,
    Glm4vProcessor,
    Glm4vVideoProcessor,
    Glm46VConfig,
    Glm46VForConditionalGeneration,
    Glm46VImageProcessor,
    Glm46VProcessor,
    Glm46VVideoProcessor,
)

from tests.helpers.families.family import DECODER, TOWER_HEADS, TOWER_WIDTH, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

NAMED = {
    "image": "<|image|>",
    "video": "<|video|>",
    "image_start": "<|begin_of_image|>",
    "image_end": "<|end_of_image|>",
    "video_start": "<|begin_of_video|>",
    "video_end": "<|end_of_video|>",
}
SPECIALS = [
    "<|endoftext|>",
    "[gMASK]",
    "<sop>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|observation|>",
    "<think>",
    "</think>",
    "/nothink",
    *NAMED.values(),
]
# their generation configuration names this end, too
STOPS = ("<|observation|>",)
# one token stands for so many pixels on a side: two patches of 14
MERGED = 28
PIXELS = {"shortest_edge": 4 * 2 * MERGED**2, "longest_edge": 16 * 2 * MERGED**2}
VISION = {
    "depth": 2,
    "hidden_size": TOWER_WIDTH,
    "num_heads": TOWER_HEADS,
    "image_size": 4 * MERGED,
    "out_hidden_size": WIDTH,
    # also the width of the layers that merge patches
    "intermediate_size": 2 * TOWER_WIDTH,
}
# half of a head's 16 numbers turn
ROPE = {
    "rope_type": "default",
    "rope_theta": 1e4,
    "partial_rotary_factor": 0.5,
    "mrope_section": [1, 1, 2],
}

_PARTS = (
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|begin_of_image|><|image|><|end_of_image|>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
)
# its answers begin with their thoughts, which the template leaves to the model
GLM_41V = (
    "[gMASK]<sop>{% for message in messages %}<|{{ message['role'] }}|>{{ '\n' }}" + _PARTS + "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
# thoughts can be turned off: a word behind each question, and empty ones before each answer
GLM_45V = (
    "[gMASK]<sop>{% set silent = enable_thinking is defined and not enable_thinking %}"
    "{% for message in messages %}<|{{ message['role'] }}|>{{ '\n' }}"
    "{% if message['role'] == 'assistant' %}{{ '<think></think>\n' }}{% endif %}" + _PARTS + "{% if silent and message"
    "['role'] == 'user' %}/nothink{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% if silent %}{{ '<think></think>\n' }}{% endif %}"
    "{% endif %}"
)


def glm_tokenizer() -> Any:
    """A tokenizer whose end of sequence ends texts, but no turns."""
    return build_tokenizer(SPECIALS, eos="<|endoftext|>", pad="<|endoftext|>")


def named_ids(tokenizer: Any) -> dict[str, int]:
    """The ids of the marks around images, as the configurations ask for them."""
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in NAMED.items()}


def build_glm4v(folder: Path) -> None:
    """Norms on both sides of each layer; positions of three axes that turn half of each head."""
    tokenizer = glm_tokenizer()
    config = Glm4vConfig(
        vision_config=VISION,
        text_config={**DECODER, **token_ids(tokenizer), "rope_parameters": ROPE},
        **named_ids(tokenizer),
    )
    processor = Glm4vProcessor(
        image_processor=Glm4vImageProcessor(size=PIXELS),
        tokenizer=tokenizer,
        video_processor=Glm4vVideoProcessor(size=PIXELS),
        chat_template=GLM_41V,
    )
    write_checkpoint(folder, Glm4vForConditionalGeneration, config, processor, "<|user|>", STOPS)


def processor_46(tokenizer: Any) -> Glm46VProcessor:
    """The processor of GLM-4.5V and 4.6V."""
    return Glm46VProcessor(
        image_processor=Glm46VImageProcessor(size=PIXELS),
        tokenizer=tokenizer,
        video_processor=Glm46VVideoProcessor(size=PIXELS),
        chat_template=GLM_45V,
    )


def build_glm46v(folder: Path) -> None:
    """The parts of GLM-4.1V in a class of their own."""
    tokenizer = glm_tokenizer()
    config = Glm46VConfig(
        vision_config={"model_type": "glm4v_vision", **VISION},
        text_config={"model_type": "glm4v_text", **DECODER, **token_ids(tokenizer), "rope_parameters": ROPE},
        **named_ids(tokenizer),
    )
    write_checkpoint(folder, Glm46VForConditionalGeneration, config, processor_46(tokenizer), "<|user|>", STOPS)


def build_glm4v_moe(folder: Path) -> None:
    """A dense layer, then one where each token goes to two of four experts and one that all share."""
    tokenizer = glm_tokenizer()
    experts = {
        "moe_intermediate_size": 32,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "first_k_dense_replace": 1,
    }
    config = Glm4vMoeConfig(
        vision_config=VISION,
        text_config={**DECODER, **token_ids(tokenizer), **experts, "rope_parameters": ROPE},
        **named_ids(tokenizer),
    )
    write_checkpoint(folder, Glm4vMoeForConditionalGeneration, config, processor_46(tokenizer), "<|user|>", STOPS)


FAMILIES = {
    name: Family(
        build,
        model_type,
        decoder="model.language_model",
        tower="model.visual",
        projector="model.visual.merger",
        end="<|user|>",
        closes=False,
    )
    for name, model_type, build in (
        ("glm-4.1v", "glm4v", build_glm4v),
        ("glm-4.5v", "glm4v_moe", build_glm4v_moe),
        ("glm-4.6v-flash", "glm46v", build_glm46v),
    )
}
