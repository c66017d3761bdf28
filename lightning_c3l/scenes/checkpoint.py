"""A small LLaVA checkpoint folder with fresh weights: real classes, so that `from_pretrained` loads it as any other."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from lightning_c3l.lvlm.huggingface.hub_layout import save_model

IMAGE_TOKEN = "<image>"
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", IMAGE_TOKEN)
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ message['role'] | upper }}:"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %} {{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% if message['role'] == 'assistant' %}</s>{% else %} {% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


@dataclass(frozen=True)
class Sizes:
    """Shape of the small LLaVA.

    Attributes:
        image: side of the square image, in pixels.
        patch: side of a patch, in pixels.
        vision_width: hidden size of the CLIP tower.
        vision_layers: its layers.
        width: hidden size of the Llama decoder.
        layers: its layers.
        heads: attention heads of both.
        vocabulary: maximum number of tokens, bytes included.
        context: longest sequence, in tokens.
    """

    image: int = 48
    patch: int = 12
    vision_width: int = 96
    vision_layers: int = 3
    width: int = 128
    layers: int = 4
    heads: int = 4
    vocabulary: int = 512
    context: int = 512


def build_checkpoint(folder: Path, corpus: Iterable[str], sizes: Sizes, seed: int) -> None:
    """Write a LLaVA with random weights, a tokenizer trained on `corpus`, and a processor with a chat template.

    Args:
        folder: where the checkpoint goes.
        corpus: texts whose words the tokenizer learns; any other text still encodes, as bytes.
        sizes: shape of the network.
        seed: seed of the weights.
    """
    tokenizer = build_tokenizer(corpus, sizes.vocabulary)
    processor = LlavaProcessor(
        image_processor=image_processor(sizes.image),
        tokenizer=tokenizer,
        patch_size=sizes.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(_config(sizes, tokenizer))
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    save_model(model, folder)
    processor.save_pretrained(folder)


def build_tokenizer(corpus: Iterable[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer in which the corpus' common words are single tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", padding_side="left"
    )
    fast.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]})
    return fast


def image_processor(side: int) -> CLIPImageProcessorPil:
    """Pixels to the range -1..1 at a fixed side."""
    square = {"height": side, "width": side}
    return CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size=square, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def _config(sizes: Sizes, tokenizer: PreTrainedTokenizerFast) -> LlavaConfig:
    vision = CLIPVisionConfig(
        hidden_size=sizes.vision_width,
        intermediate_size=2 * sizes.vision_width,
        num_hidden_layers=sizes.vision_layers,
        num_attention_heads=sizes.heads,
        image_size=sizes.image,
        patch_size=sizes.patch,
        projection_dim=sizes.vision_width,
    )
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=sizes.width,
        # half of what Llama has: a quarter less time a step, and the small world does not miss it
        intermediate_size=3 * sizes.width // 2,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=sizes.context,
        # wider than Llama's 0.02, which suits widths of thousands: here it halves the caption loss after 300 steps
        initializer_range=0.05,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=(sizes.image // sizes.patch) ** 2,
        vision_feature_layer=-1,
        tie_word_embeddings=True,
    )
