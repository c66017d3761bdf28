"""BLIP-2 and InstructBLIP: a Q-Former between tower and decoder, and no chat template of their own."""

from pathlib import Path

from transformers import (
    BertTokenizer,
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    BlipImageProcessor,
    InstructBlipConfig,
    InstructBlipForConditionalGeneration,
    InstructBlipProcessor,
    LlamaConfig,
    OPTConfig,
)

from tests.helpers.families.family import (
    DECODER,
    HEADS,
    LAYERS,
    TOWER,
    TOWER_HEADS,
    TOWER_WIDTH,
    WIDTH,
    Family,
    token_ids,
    write_checkpoint,
)
from tests.helpers.families.tokens import CORPUS, build_tokenizer

SIDE, PATCH, QUERIES = 42, 14, 4
VISION = {**TOWER, "image_size": SIDE, "patch_size": PATCH}
# the second layer does not read the image; dropout would make training random
QFORMER = {
    "hidden_size": TOWER_WIDTH,
    "intermediate_size": 2 * TOWER_WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": TOWER_HEADS,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
# the processor itself puts image tokens before the text
_TEXT = "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
BLIP_2_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'Question: ' }}" + _TEXT + "{{ ' Answer:' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' }}" + _TEXT + "</s>"
    "{% else %}" + _TEXT + "{{ '\n' }}{% endif %}"
    "{% endfor %}"
)
INSTRUCTBLIP_TEMPLATE = (
    "{% for message in messages %}" + _TEXT + "{{ '</s>' if message['role'] == 'assistant' else '\n' }}{% endfor %}"
)


def build_blip2(folder: Path) -> None:
    """EVA-CLIP, a Q-Former with 4 queries, and OPT."""
    tokenizer = build_tokenizer(["<s>", "<pad>", "</s>", "<unk>", "<image>"], bos="</s>", eos="</s>", pad="<pad>")
    config = Blip2Config(
        vision_config=VISION,
        qformer_config=QFORMER,
        text_config=OPTConfig(
            **token_ids(tokenizer),
            hidden_size=WIDTH,
            ffn_dim=2 * WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=512,
            dropout=0.0,
        ),
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = Blip2Processor(
        BlipImageProcessor(size={"height": SIDE, "width": SIDE}), tokenizer, num_query_tokens=QUERIES
    )
    write_checkpoint(folder, Blip2ForConditionalGeneration, config, processor, "</s>")


def build_instructblip(folder: Path) -> None:
    """EVA-CLIP, a Q-Former that reads the instruction with words of its own, and Llama."""
    tokenizer = build_tokenizer(
        ["<unk>", "<s>", "</s>", "<pad>", "<image>"], bos="<s>", eos="</s>", pad="<pad>", begins=True
    )
    words = sorted({word.strip("?.,:").lower() for text in CORPUS for word in text.split()})
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"?.,:"]
    qformer_tokenizer = BertTokenizer(vocab={word: index for index, word in enumerate([*marks, *words])})
    config = InstructBlipConfig(
        vision_config=VISION,
        qformer_config={**QFORMER, "vocab_size": len(qformer_tokenizer)},
        text_config=LlamaConfig(**DECODER, **token_ids(tokenizer)),
        num_query_tokens=QUERIES,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = InstructBlipProcessor(
        BlipImageProcessor(size={"height": SIDE, "width": SIDE}),
        tokenizer,
        qformer_tokenizer,
        num_query_tokens=QUERIES,
    )
    write_checkpoint(folder, InstructBlipForConditionalGeneration, config, processor, "</s>")


FAMILIES = {
    name: Family(
        build,
        name,
        decoder="language_model",
        tower="vision_model",
        projector="qformer",
        end="</s>",
        chat_template=template,
        one_image="its processor writes the tokens of one image before the text, however many are given",
        needs_image="its forward runs the tower on every call",
    )
    for name, build, template in (
        ("blip-2", build_blip2, BLIP_2_TEMPLATE),
        ("instructblip", build_instructblip, INSTRUCTBLIP_TEMPLATE),
    )
}
