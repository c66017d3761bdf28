"""Idefics2 and Idefics3: images cut into tiles, read by a resampler or shuffled together."""

from pathlib import Path

from transformers import (
    Idefics2Config,
    Idefics2ForConditionalGeneration,
    Idefics2ImageProcessor,
    Idefics2Processor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    LlamaConfig,
    MistralConfig,
)
from transformers.models.idefics2.configuration_idefics2 import Idefics2PerceiverConfig, Idefics2VisionConfig
from transformers.models.idefics3.configuration_idefics3 import Idefics3VisionConfig

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SIDE, PATCH = 56, 14
END = "<end_of_utterance>"
# tokens that the resampler of Idefics2 leaves of an image
LATENTS = 4
SHUFFLE = 2

# a colon alone before an image, and with a blank before a text
TURNS = (
    "{% for message in messages %}{{ message['role'] | capitalize }}"
    "{{ ':' if message['content'][0]['type'] == 'image' else ': ' }}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<end_of_utterance>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def build_idefics2(folder: Path) -> None:
    """Mistral; an image and its four quarters, each in its own shape and resampled to 4 tokens."""
    specials = ["<unk>", "<s>", "</s>", "<fake_token_around_image>", "<image>", END]
    tokenizer = build_tokenizer(specials, bos="<s>", eos="</s>", pad="<unk>", begins=True)
    config = Idefics2Config(
        vision_config=Idefics2VisionConfig(**TOWER, image_size=2 * SIDE, patch_size=PATCH),
        perceiver_config=Idefics2PerceiverConfig(
            hidden_size=DECODER["hidden_size"],
            resampler_n_latents=LATENTS,
            resampler_depth=2,
            resampler_n_heads=2,
            resampler_head_dim=16,
            num_key_value_heads=1,
        ),
        text_config=MistralConfig(**DECODER, **token_ids(tokenizer), head_dim=16, sliding_window=None),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = Idefics2Processor(
        image_processor=Idefics2ImageProcessor(
            do_image_splitting=True, size={"longest_edge": 2 * SIDE, "shortest_edge": SIDE}
        ),
        tokenizer=tokenizer,
        image_seq_len=LATENTS,
        chat_template=TURNS,
    )
    write_checkpoint(folder, Idefics2ForConditionalGeneration, config, processor, END)


def build_idefics3(folder: Path) -> None:
    """Llama; a grid of tiles with their places written before them, and the whole image, four patches a token."""
    specials = [
        "<|begin_of_text|>",
        "<|end_of_text|>",
        "<pad>",
        "<fake_token_around_image>",
        "<image>",
        END,
        "<global-img>",
        *(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2)),
    ]
    tokenizer = build_tokenizer(specials, bos="<|begin_of_text|>", eos="<|end_of_text|>", pad="<pad>", begins=True)
    config = Idefics3Config(
        vision_config=Idefics3VisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH),
        text_config=LlamaConfig(**DECODER, **token_ids(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=SHUFFLE,
        pad_token_id=tokenizer.pad_token_id,
    )
    processor = Idefics3Processor(
        image_processor=Idefics3ImageProcessor(size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}),
        tokenizer=tokenizer,
        image_seq_len=(SIDE // PATCH) ** 2 // SHUFFLE**2,
        chat_template="<|begin_of_text|>" + TURNS,
    )
    write_checkpoint(folder, Idefics3ForConditionalGeneration, config, processor, END)


FAMILIES = {
    name: Family(
        build,
        name,
        decoder="model.text_model",
        tower="model.vision_model",
        projector="model.connector",
        end=END,
    )
    for name, build in (("idefics2", build_idefics2), ("idefics3", build_idefics3))
}
