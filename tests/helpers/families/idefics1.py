"""IDEFICS, the first: layers that read images beside Llama's, and token tables in two parts."""

from pathlib import Path

from transformers import IdeficsConfig, IdeficsForVisionText2Text, IdeficsImageProcessor, IdeficsProcessor

from tests.helpers.families.family import HEADS, LAYERS, TOWER, TOWER_HEADS, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SIDE, PATCH = 42, 14
ADDED = ["<fake_token_around_image>", "<image>"]
# the processor puts the beginning of the text and the image before it
TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize + ': ' }}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ '<end_of_utterance>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def build_idefics(folder: Path) -> None:
    """CLIP, a resampler with 4 latents, and a gated layer of cross-attention before each of the decoder's."""
    tokenizer = build_tokenizer(
        ["<unk>", "<s>", "</s>", "<pad>", "<end_of_utterance>"], bos="<s>", eos="</s>", pad="<pad>"
    )
    own = token_ids(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ADDED})
    config = IdeficsConfig(
        **own,
        additional_vocab_size=len(ADDED),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        qk_layer_norms=True,
        use_resampler=True,
        max_position_embeddings=512,
        vision_config={
            "embed_dim": TOWER["hidden_size"],
            "image_size": SIDE,
            "patch_size": PATCH,
            "intermediate_size": TOWER["intermediate_size"],
            "num_hidden_layers": 2,
            "num_attention_heads": TOWER_HEADS,
        },
        perceiver_config={
            "use_resampler": True,
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": TOWER_HEADS,
            "resampler_head_dim": 16,
            "qk_layer_norms_perceiver": True,
        },
    )
    processor = IdeficsProcessor(IdeficsImageProcessor(image_size=SIDE), tokenizer, image_size=SIDE)
    write_checkpoint(folder, IdeficsForVisionText2Text, config, processor, "<end_of_utterance>")


FAMILIES = {
    "idefics": Family(
        build_idefics,
        "idefics",
        tower="model.vision_model",
        projector="model.perceiver_resampler",
        end="<end_of_utterance>",
        chat_template=TEMPLATE,
        flat_images=True,
        one_image="its processor puts one image before each text, and several behind it",
        needs_image="its forward wants pixels and a mask of images, which its processor makes up where there is none",
    )
}
