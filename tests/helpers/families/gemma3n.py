"""Gemma 3n: a tower of convolutions, several residual streams, inputs of each layer's own, keys shared by layers."""

from pathlib import Path

from transformers import (
    Gemma3nAudioConfig,
    Gemma3nAudioFeatureExtractor,
    Gemma3nConfig,
    Gemma3nForConditionalGeneration,
    Gemma3nProcessor,
    Gemma3nTextConfig,
    Gemma3nVisionConfig,
    SiglipImageProcessor,
)

from tests.helpers.families.family import DECODER, Family, token_ids, write_checkpoint
from tests.helpers.families.gemma import WINDOW
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
    "<start_of_audio>",
]
NAMED = {
    "boi_token": "<start_of_image>",
    "eoi_token": "<end_of_image>",
    "image_token": "<image_soft_token>",
    "boa_token": "<start_of_audio>",
    "eoa_token": "<end_of_audio>",
    "audio_token": "<audio_soft_token>",
}
# a small tower of timm's, of the real one's kind, which halves an image five times
TOWER, TOWER_OUT = "test_efficientnet_ln", 256
SIDE = 128
IMAGE_TOKENS = (SIDE // 2**5) ** 2


def build_gemma3n(folder: Path) -> None:
    """As E2B: two last layers that read the keys of the first two, and most of the first one's activations at zero."""
    # tokens that are named alone come last: those of images and sounds, which are embedded beside their towers
    tokenizer = build_tokenizer(SPECIALS, bos="<bos>", eos="<eos>", pad="<pad>", begins=True, **NAMED)
    ids = {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in NAMED.items()}
    config = Gemma3nConfig(
        vision_config=Gemma3nVisionConfig(
            architecture=TOWER, hidden_size=TOWER_OUT, vocab_size=2, vocab_offset=ids["eoi_token_id"]
        ),
        text_config=Gemma3nTextConfig(
            **DECODER | {"num_hidden_layers": 4},
            **token_ids(tokenizer),
            head_dim=16,
            sliding_window=WINDOW,
            layer_types=["sliding_attention", "full_attention"] * 2,
            num_kv_shared_layers=2,
            activation_sparsity_pattern=[0.95, 0.0, 0.0, 0.0],
            # low, so that it bends the logits of random weights
            final_logit_softcapping=10.0,
            vocab_size_per_layer_input=ids["eoi_token_id"],
            hidden_size_per_layer_input=8,
            altup_num_inputs=2,
            laurel_rank=8,
        ),
        audio_config=Gemma3nAudioConfig(
            hidden_size=32,
            vocab_size=2,
            vocab_offset=ids["eoa_token_id"],
            conf_num_hidden_layers=1,
            conf_num_attention_heads=2,
            sscp_conv_channel_size=[4, 4],
        ),
        vision_soft_tokens_per_image=IMAGE_TOKENS,
        # the real one's are tied: with random weights every token would predict itself
        tie_word_embeddings=False,
        **ids,
    )
    processor = Gemma3nProcessor(
        feature_extractor=Gemma3nAudioFeatureExtractor(),
        image_processor=SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, do_normalize=False),
        tokenizer=tokenizer,
        image_seq_length=IMAGE_TOKENS,
        chat_template=GEMMA.replace("<start_of_image>", "<image_soft_token>"),
    )
    write_checkpoint(folder, Gemma3nForConditionalGeneration, config, processor, "<end_of_turn>")


FAMILIES = {
    "gemma-3n": Family(
        build_gemma3n,
        "gemma3n",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.embed_vision",
        end="<end_of_turn>",
    )
}
