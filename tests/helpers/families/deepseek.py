"""DeepSeek-VL and Janus: images of a fixed size, and an end of turn that is left out behind the last answer."""

from pathlib import Path
from typing import Any

from transformers import (
    DeepseekVLConfig,
    DeepseekVLForConditionalGeneration,
    DeepseekVLHybridConfig,
    DeepseekVLHybridForConditionalGeneration,
    DeepseekVLHybridImageProcessor,
    DeepseekVLHybridProcessor,
    DeepseekVLImageProcessor,
    DeepseekVLProcessor,
    JanusConfig,
    JanusForConditionalGeneration,
    JanusImageProcessor,
    JanusProcessor,
    JanusVisionConfig,
    JanusVQVAEConfig,
    LlamaConfig,
    SamVisionConfig,
    SiglipVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

# written with full-width bars
BEGIN, END, PAD = (
    f"<\uff5c{name}\uff5c>" for name in ("begin\u2581of\u2581sentence", "end\u2581of\u2581sentence", "\u2581pad\u2581")
)
SIDE, PATCH = 48, 16
PATCHES = (SIDE // PATCH) ** 2
SQUARE = {"height": SIDE, "width": SIDE}


def turns(user: str, assistant: str) -> str:
    """A chat template with those names of the two sides; the assistant's has no blank behind it where it is opened."""
    return (
        "{{ 'You look at images and answer in words.\n\n' }}"
        "{% for message in messages %}"
        "{% set answer = message['role'] == 'assistant' %}"
        "{% if message['role'] != 'system' %}"
        f"{{{{ '{assistant}: ' if answer else '{user}: ' }}}}"
        "{% endif %}"
        "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image_placeholder>\n' }}{% endfor %}"
        "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
        "{% if not loop.last or add_generation_prompt %}{{ '" + END + "' if answer else '\n\n' }}{% endif %}"
        "{% endfor %}"
        f"{{% if add_generation_prompt %}}{assistant}:{{% endif %}}"
    )


def deepseek_tokenizer(specials: list[str], **named: str) -> Any:
    """A tokenizer with DeepSeek's marks of a text's beginning and end."""
    return build_tokenizer(
        [BEGIN, END, PAD, "<image_placeholder>", *specials],
        bos=BEGIN,
        eos=END,
        pad=PAD,
        begins=True,
        image_token="<image_placeholder>",
        **named,
    )


def common_parts(tokenizer: Any) -> dict[str, Any]:
    """Decoder and image token, which all three configure alike."""
    return {
        "text_config": LlamaConfig(**DECODER, **token_ids(tokenizer)),
        "image_token_id": tokenizer.convert_tokens_to_ids("<image_placeholder>"),
        "tie_word_embeddings": False,
    }


def build_deepseek_vl(folder: Path) -> None:
    """SigLIP and Llama; images padded to squares."""
    tokenizer = deepseek_tokenizer([])
    config = DeepseekVLConfig(
        vision_config=SiglipVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH, vision_use_head=False),
        **common_parts(tokenizer),
    )
    processor = DeepseekVLProcessor(
        image_processor=DeepseekVLImageProcessor(size=SQUARE),
        tokenizer=tokenizer,
        chat_template=turns("User", "Assistant"),
        num_image_tokens=PATCHES,
    )
    write_checkpoint(folder, DeepseekVLForConditionalGeneration, config, processor, END)


def build_deepseek_vl_hybrid(folder: Path) -> None:
    """A second tower, SAM's, that sees the image at twice the size: windows, then all of it."""
    tokenizer = deepseek_tokenizer([])
    high = 2 * SIDE
    config = DeepseekVLHybridConfig(
        vision_config=SiglipVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH, vision_use_head=False),
        high_res_vision_config=SamVisionConfig(
            hidden_size=TOWER["hidden_size"],
            output_channels=8,
            num_hidden_layers=2,
            num_attention_heads=TOWER["num_attention_heads"],
            image_size=high,
            patch_size=PATCH,
            window_size=3,
            global_attn_indexes=[1],
            mlp_dim=TOWER["intermediate_size"],
        ),
        **common_parts(tokenizer),
    )
    processor = DeepseekVLHybridProcessor(
        image_processor=DeepseekVLHybridImageProcessor(size=SQUARE, high_res_size={"height": high, "width": high}),
        tokenizer=tokenizer,
        chat_template=turns("User", "Assistant"),
        num_image_tokens=PATCHES,
    )
    write_checkpoint(folder, DeepseekVLHybridForConditionalGeneration, config, processor, END)


def build_janus(folder: Path) -> None:
    """A tower of its own and Llama; what draws images is there too, and has no part in reading them."""
    tokenizer = deepseek_tokenizer(
        ["<begin_of_image>", "<end_of_image>", "<|User|>", "<|Assistant|>"],
        boi_token="<begin_of_image>",
        eoi_token="<end_of_image>",
    )
    config = JanusConfig(
        vision_config=JanusVisionConfig(
            hidden_size=TOWER["hidden_size"],
            num_hidden_layers=TOWER["num_hidden_layers"],
            num_attention_heads=TOWER["num_attention_heads"],
            mlp_ratio=2.0,
            image_size=SIDE,
            patch_size=PATCH,
            projection_dim=WIDTH,
            num_image_tokens=PATCHES,
        ),
        vq_config=JanusVQVAEConfig(
            num_embeddings=32,
            latent_channels=32,
            base_channels=32,
            channel_multiplier=[1, 1],
            num_res_blocks=1,
            projection_dim=WIDTH,
            image_token_embed_dim=WIDTH,
        ),
        **common_parts(tokenizer),
    )
    processor = JanusProcessor(
        image_processor=JanusImageProcessor(size=SQUARE),
        tokenizer=tokenizer,
        chat_template=turns("<|User|>", "<|Assistant|>"),
        num_image_tokens=PATCHES,
    )
    write_checkpoint(folder, JanusForConditionalGeneration, config, processor, END)


FAMILIES = {
    name: Family(
        build,
        model_type,
        decoder="model.language_model",
        tower="model.vision_model",
        projector="model.aligner",
        end=END,
        closes=False,
    )
    for name, model_type, build in (
        ("deepseek-vl", "deepseek_vl", build_deepseek_vl),
        ("deepseek-vl-hybrid", "deepseek_vl_hybrid", build_deepseek_vl_hybrid),
        ("janus-pro", "janus", build_janus),
    )
}
