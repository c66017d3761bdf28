"""GIT, which captions images: BERT as decoder, and images without tokens in the text."""

from pathlib import Path

from tokenizers.processors import TemplateProcessing
from transformers import (
    CLIPImageProcessor,
    GitConfig,
    GitForCausalLM,
    GitProcessor,
    PreTrainedTokenizerFast,
)

from tests.helpers.families.family import HEADS, LAYERS, TOWER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SIDE, PATCH = 42, 14
DECODER = {
    "hidden_size": WIDTH,
    "intermediate_size": 2 * WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": 256,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
TEMPLATE = (
    "[CLS]{% for message in messages %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ '[SEP]' if message['role'] == 'assistant' else ' ' if not loop.last }}"
    "{% endfor %}"
)


def build_bert_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that puts marks around every text, as BERT's does."""
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = build_tokenizer(marks, bos="[CLS]", eos="[SEP]", pad="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    around = [(mark, marks.index(mark)) for mark in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
    return tokenizer


def build_git(folder: Path) -> None:
    """CLIP's patches before the text, seen from everywhere; logits of patches and text."""
    tokenizer = build_bert_tokenizer()
    config = GitConfig(
        **DECODER, **token_ids(tokenizer), vision_config={**TOWER, "image_size": SIDE, "patch_size": PATCH}
    )
    processor = GitProcessor(
        CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}), tokenizer
    )
    write_checkpoint(folder, GitForCausalLM, config, processor, "[SEP]")


FAMILIES = {
    "git": Family(
        build_git,
        "git",
        decoder="git.encoder",
        tower="git.image_encoder",
        projector="git.visual_projection",
        end="[SEP]",
        chat_template=TEMPLATE,
        one_image="a second image is a second row to its forward",
    ),
}
