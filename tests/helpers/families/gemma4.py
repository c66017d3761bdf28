"""Gemma 4: a dense one, one with experts, an E one with inputs of each layer's own, and the one without a tower."""

from pathlib import Path
from typing import Any

from transformers import (
    Gemma4AudioConfig,
    Gemma4AudioFeatureExtractor,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    Gemma4ImageProcessor,
    Gemma4Processor,
    Gemma4TextConfig,
    Gemma4UnifiedAudioConfig,
    Gemma4UnifiedAudioFeatureExtractor,
    Gemma4UnifiedConfig,
    Gemma4UnifiedForConditionalGeneration,
    Gemma4UnifiedImageProcessor,
    Gemma4UnifiedProcessor,
    Gemma4UnifiedTextConfig,
    Gemma4UnifiedVideoProcessor,
    Gemma4UnifiedVisionConfig,
    Gemma4VideoProcessor,
    Gemma4VisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, TOWER_HEADS, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

NAMED = {
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "image_token": "<|image|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
    "audio_token": "<|audio|>",
}
SPECIALS = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<|turn>",
    "<turn|>",
    "<|channel>",
    "<channel|>",
    "<|think|>",
    "<|tool_response>",
    *NAMED.values(),
    "<|video|>",
]
# the image processor makes up to 70 tokens of nine patches and no fewer than that: so the patches are small
PATCH, TOKENS = 4, 70
# shorter than any prompt
WINDOW = 16
SLIDING, FULL = "sliding_attention", "full_attention"

# the system's turn may ask for thoughts, and earlier thoughts are left out
_TURNS = (
    "{{ bos_token }}"
    "{% set thinks = enable_thinking is defined and enable_thinking %}"
    "{% set system = messages[0]['role'] in ['system', 'developer'] %}"
    "{% if thinks or system %}{{ '<|turn>system\n' }}{% if thinks %}{{ '<|think|>\n' }}{% endif %}"
    "{% if system %}{{ messages[0]['content'] if messages[0]['content'] is string"
    " else messages[0]['content'][0]['text'] | trim }}{% endif %}{{ '<turn|>\n' }}{% endif %}"
    "{% for message in (messages[1:] if system else messages) %}"
    "<|turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}{{ '\n' }}"
    "{% if message['content'] is string %}{{ message['content'] | trim }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<|image|>' }}{% else %}{{ part['text'] | trim }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<turn|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|turn>model\n' }}"
)
SMALL_TEMPLATE = _TURNS + "{% endif %}"
# the larger ones are given an empty channel of thoughts where they are not to think, which no given answer has
LARGE_TEMPLATE = _TURNS + "{% if not thinks %}{{ '<|channel>thought\n<channel|>' }}{% endif %}{% endif %}"


def _tokenizer() -> Any:
    return build_tokenizer(SPECIALS, bos="<bos>", eos="<eos>", pad="<pad>", begins=True, **NAMED)


def _named(tokenizer: Any) -> dict[str, int]:
    """Ids of the tokens around and instead of images and sounds, as the configurations name them."""
    names = {name.replace("_token", "_token_id"): token for name, token in NAMED.items()} | {
        "video_token_id": "<|video|>"
    }
    names["eoa_token_index"] = names.pop("eoa_token_id")
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}


def _text(tokenizer: Any) -> dict[str, Any]:
    """Options of all decoders: heads of 16 numbers in windows, of 32 everywhere else."""
    return {
        **DECODER,
        **token_ids(tokenizer),
        "head_dim": 16,
        "global_head_dim": 32,
        "sliding_window": WINDOW,
        # low, so that it bends the logits of random weights
        "final_logit_softcapping": 10.0,
    }


def _vision(standardize: bool) -> Gemma4VisionConfig:
    return Gemma4VisionConfig(
        **TOWER,
        num_key_value_heads=TOWER_HEADS,
        head_dim=16,
        patch_size=PATCH,
        position_embedding_size=256,
        standardize=standardize,
    )


def _write(folder: Path, config: Gemma4Config, tokenizer: Any, template: str) -> None:
    processor = Gemma4Processor(
        feature_extractor=Gemma4AudioFeatureExtractor(),
        image_processor=Gemma4ImageProcessor(patch_size=PATCH, max_soft_tokens=TOKENS),
        tokenizer=tokenizer,
        video_processor=Gemma4VideoProcessor(patch_size=PATCH, max_soft_tokens=TOKENS),
        image_seq_length=TOKENS,
        chat_template=template,
    )
    write_checkpoint(folder, Gemma4ForConditionalGeneration, config, processor, "<turn|>", stops=["<|tool_response>"])


def _build_large(folder: Path, **experts: Any) -> None:
    tokenizer = _tokenizer()
    config = Gemma4Config(
        vision_config=_vision(standardize=True),
        text_config=Gemma4TextConfig(
            **_text(tokenizer),
            layer_types=[SLIDING, FULL],
            attention_k_eq_v=True,
            num_global_key_value_heads=1,
            use_bidirectional_attention="vision",
            hidden_size_per_layer_input=0,
            **experts,
        ),
        # the real one's are tied: with random weights every token would predict itself
        tie_word_embeddings=False,
        **_named(tokenizer),
    )
    _write(folder, config, tokenizer, LARGE_TEMPLATE)


def build_gemma4(folder: Path) -> None:
    """As 31B: one head of keys, which are values too, in the full layer, and image tokens that see each other."""
    _build_large(folder)


def build_gemma4_moe(folder: Path) -> None:
    """As 26B-A4B: the same with four experts beside each layer's own feed-forward network."""
    _build_large(folder, enable_moe_block=True, num_experts=4, top_k_experts=2, moe_intermediate_size=32)


def build_gemma4_e(folder: Path) -> None:
    """As E2B: inputs of each layer's own, two last layers that read the keys of the first two, and an audio tower."""
    tokenizer = _tokenizer()
    text = _text(tokenizer) | {"num_hidden_layers": 4}
    config = Gemma4Config(
        vision_config=_vision(standardize=False),
        text_config=Gemma4TextConfig(
            **text,
            layer_types=[SLIDING, FULL, SLIDING, FULL],
            num_kv_shared_layers=2,
            use_double_wide_mlp=True,
            vocab_size_per_layer_input=len(tokenizer),
            hidden_size_per_layer_input=8,
        ),
        audio_config=Gemma4AudioConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            subsampling_conv_channels=[4, 4],
            output_proj_dims=32,
        ),
        tie_word_embeddings=False,
        **_named(tokenizer),
    )
    _write(folder, config, tokenizer, SMALL_TEMPLATE)


def build_gemma4_unified(folder: Path) -> None:
    """As 12B: pixels of nine patches are one token, which goes to the decoder without a tower."""
    tokenizer = _tokenizer()
    config = Gemma4UnifiedConfig(
        vision_config=Gemma4UnifiedVisionConfig(
            patch_size=PATCH, mm_embed_dim=WIDTH, mm_posemb_size=128, output_proj_dims=WIDTH
        ),
        text_config=Gemma4UnifiedTextConfig(
            **_text(tokenizer), layer_types=[SLIDING, FULL], use_bidirectional_attention="vision"
        ),
        audio_config=Gemma4UnifiedAudioConfig(audio_embed_dim=64),
        tie_word_embeddings=False,
        **_named(tokenizer),
    )
    processor = Gemma4UnifiedProcessor(
        feature_extractor=Gemma4UnifiedAudioFeatureExtractor(feature_size=64, audio_samples_per_token=64),
        image_processor=Gemma4UnifiedImageProcessor(patch_size=PATCH, max_soft_tokens=TOKENS),
        tokenizer=tokenizer,
        video_processor=Gemma4UnifiedVideoProcessor(patch_size=PATCH, max_soft_tokens=TOKENS),
        image_seq_length=TOKENS,
        chat_template=LARGE_TEMPLATE,
    )
    write_checkpoint(
        folder, Gemma4UnifiedForConditionalGeneration, config, processor, "<turn|>", stops=["<|tool_response>"]
    )


_PARTS: dict[str, Any] = {"decoder": "model.language_model", "projector": "model.embed_vision", "end": "<turn|>"}
_TOWER = "model.vision_tower"
_THOUGHTS = "<|channel>thought\n<channel|>"
FAMILIES = {
    "gemma-4": Family(build_gemma4, "gemma4", tower=_TOWER, thoughts=_THOUGHTS, **_PARTS),
    "gemma-4-moe": Family(build_gemma4_moe, "gemma4", tower=_TOWER, thoughts=_THOUGHTS, **_PARTS),
    "gemma-4-e": Family(build_gemma4_e, "gemma4", tower=_TOWER, **_PARTS),
    "gemma-4-unified": Family(build_gemma4_unified, "gemma4_unified", thoughts=_THOUGHTS, **_PARTS),
}
