"""Mistral's own LVLMs: images in their own shape, with a mark at the end of each row of patches."""

from pathlib import Path
from typing import Any

from transformers import (
    LlavaConfig,
    LlavaForConditionalGeneration,
    Ministral3Config,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    Mistral4Config,
    MistralConfig,
    MistralLarge4Config,
    MistralLarge4ForConditionalGeneration,
    MistralLarge4TextConfig,
    PixtralImageProcessor,
    PixtralProcessor,
    PixtralVisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<unk>",
    "<s>",
    "</s>",
    "[INST]",
    "[/INST]",
    "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]",
    "<pad>",
    "[IMG]",
    "[IMG_BREAK]",
    "[IMG_END]",
]
PATCH, LONGEST = 14, 112

# attention through keys and values of 16 numbers
LATENT = {"kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 16}
EXPERTS = {"moe_intermediate_size": 32, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1}
YARN = {
    "rope_type": "yarn",
    "factor": 16.0,
    # shorter than the tests' rows, so that scaling sets in within them
    "original_max_position_embeddings": 32,
    "max_position_embeddings": 512,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}

_PARTS = "{% for part in message['content'] %}{{ '[IMG]' if part['type'] == 'image' else part['text'] }}{% endfor %}"
# what the system says goes before the last question
PIXTRAL = (
    "<s>{% set system = messages[0]['role'] == 'system' %}"
    "{% set turns = messages[1:] if system else messages %}"
    "{% for message in turns %}"
    "{% if message['role'] == 'user' %}[INST]"
    "{% if system and loop.last %}{{ messages[0]['content'][0]['text'] + '\n\n' }}{% endif %}" + _PARTS + "[/INST]"
    "{% else %}" + _PARTS + "</s>{% endif %}"
    "{% endfor %}"
)
MISTRAL_3 = (
    "<s>{% for message in messages %}"
    "{% if message['role'] == 'system' %}[SYSTEM_PROMPT]" + _PARTS + "[/SYSTEM_PROMPT]"
    "{% elif message['role'] == 'user' %}[INST]" + _PARTS + "[/INST]"
    "{% else %}" + _PARTS + "</s>{% endif %}"
    "{% endfor %}"
)


def mistral_tokenizer() -> Any:
    """A tokenizer with the marks of Mistral's turns and images."""
    return build_tokenizer(SPECIALS, bos="<s>", eos="</s>", pad="<pad>", begins=True)


def pixtral_processor(tokenizer: Any, merge: int, template: str) -> PixtralProcessor:
    """The processor that all of them share: `merge` x `merge` patches become one token."""
    return PixtralProcessor(
        image_processor=PixtralImageProcessor(
            size={"longest_edge": LONGEST}, patch_size={"height": PATCH, "width": PATCH}
        ),
        tokenizer=tokenizer,
        patch_size=PATCH,
        spatial_merge_size=merge,
        chat_template=template,
    )


def build_pixtral(folder: Path) -> None:
    """LLaVA's model class around a Pixtral tower and Mistral, each patch a token."""
    tokenizer = mistral_tokenizer()
    config = LlavaConfig(
        vision_config=PixtralVisionConfig(**TOWER, image_size=LONGEST, patch_size=PATCH),
        text_config=MistralConfig(**DECODER, **token_ids(tokenizer), head_dim=16, sliding_window=None),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        image_seq_length=1,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    processor = pixtral_processor(tokenizer, merge=1, template=PIXTRAL)
    write_checkpoint(folder, LlavaForConditionalGeneration, config, processor, "</s>")


def write_mistral3(folder: Path, text_config: Any, tokenizer: Any) -> None:
    """A Mistral 3 with that decoder, four patches a token."""
    config = Mistral3Config(
        vision_config=PixtralVisionConfig(**TOWER, image_size=LONGEST, patch_size=PATCH),
        text_config=text_config,
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        tie_word_embeddings=text_config.tie_word_embeddings,
    )
    processor = pixtral_processor(tokenizer, merge=2, template=MISTRAL_3)
    write_checkpoint(folder, Mistral3ForConditionalGeneration, config, processor, "</s>")


def build_mistral3(folder: Path) -> None:
    """Mistral Small 3.1: Mistral's decoder with a head of its own."""
    tokenizer = mistral_tokenizer()
    text = MistralConfig(**DECODER, **token_ids(tokenizer), head_dim=16, sliding_window=None)
    write_mistral3(folder, text, tokenizer)


def build_ministral3(folder: Path) -> None:
    """Ministral 3: positions by YaRN, queries scaled by position, a tied head."""
    tokenizer = mistral_tokenizer()
    text = Ministral3Config(
        **DECODER,
        **token_ids(tokenizer),
        head_dim=16,
        tie_word_embeddings=True,
        rope_parameters={**YARN, "rope_theta": 1e6},
    )
    write_mistral3(folder, text, tokenizer)


def build_mistral_small4(folder: Path) -> None:
    """Mistral Small 4: Mistral 3 around latent attention and four experts, of which each token takes two."""
    tokenizer = mistral_tokenizer()
    text = Mistral4Config(
        **DECODER | {"num_key_value_heads": DECODER["num_attention_heads"]},
        **token_ids(tokenizer),
        **LATENT,
        **EXPERTS,
        q_lora_rank=16,
        rope_parameters={**YARN, "rope_theta": 1e4},
    )
    write_mistral3(folder, text, tokenizer)


def build_mistral_large4(folder: Path) -> None:
    """Each token attends to a few chosen ones; one layer uses another's keys, one has no positions."""
    tokenizer = mistral_tokenizer()
    config = MistralLarge4Config(
        vision_config=PixtralVisionConfig(**TOWER, image_size=LONGEST, patch_size=PATCH, hidden_act="silu"),
        text_config=MistralLarge4TextConfig(
            **DECODER | {"num_hidden_layers": 4, "num_key_value_heads": DECODER["num_attention_heads"]},
            **token_ids(tokenizer),
            **LATENT,
            **EXPERTS,
            # fewer than the tokens of any prompt
            index_topk=8,
            index_head_dim=16,
            # scores of tokens that no head looks for are equal, and which of them are chosen is chance: here never
            index_n_heads=16,
            indexer_types=["full", "full", "shared", "full"],
            kv_source_layers=[0, 1, 1, 3],
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
    )
    processor = pixtral_processor(tokenizer, merge=2, template=MISTRAL_3)
    write_checkpoint(folder, MistralLarge4ForConditionalGeneration, config, processor, "</s>")


FAMILIES = {
    name: Family(
        build,
        model_type,
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="</s>",
    )
    for name, model_type, build in (
        ("mistral-large-4", "mistral_large4", build_mistral_large4),
        ("mistral-small-4", "mistral3", build_mistral_small4),
        ("ministral-3", "mistral3", build_ministral3),
        ("mistral-3", "mistral3", build_mistral3),
        ("pixtral", "llava", build_pixtral),
    )
}
