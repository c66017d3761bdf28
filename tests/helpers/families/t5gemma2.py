"""T5Gemma 2: an encoder that reads image and question, and a decoder that writes the answer."""

from pathlib import Path

from transformers import (
    Gemma3ImageProcessor,
    Gemma3Processor,
    SiglipVisionConfig,
    T5Gemma2Config,
    T5Gemma2DecoderConfig,
    T5Gemma2EncoderConfig,
    T5Gemma2ForConditionalGeneration,
    T5Gemma2TextConfig,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.gemma import IMAGE_TOKENS, PATCH, SIDE, SPECIALS, WINDOW
from tests.helpers.families.tokens import build_tokenizer

# the checkpoint brings none and has no turns: the encoder reads what is asked, an answer is the decoder's whole text
TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<start_of_image>{% else %}{{ part['text'] | trim }}{% endif %}"
    "{% endfor %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% elif not loop.last %}{{ '\n' }}{% endif %}"
    "{% endfor %}"
)


def build_t5gemma2(folder: Path) -> None:
    """One window and one full layer on both sides; the decoder attends to its own text and the encoder's at once."""
    tokenizer = build_tokenizer(
        SPECIALS,
        bos="<bos>",
        eos="<eos>",
        pad="<pad>",
        begins=True,
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        image_token="<image_soft_token>",
    )
    image = tokenizer.convert_tokens_to_ids("<image_soft_token>")
    text = {
        **DECODER,
        **token_ids(tokenizer),
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "sliding_window": WINDOW,
        "layer_types": ["sliding_attention", "full_attention"],
        # the real one's are tied: with random weights every token would predict itself
        "tie_word_embeddings": False,
    }
    config = T5Gemma2Config(
        encoder=T5Gemma2EncoderConfig(
            text_config=T5Gemma2TextConfig(**text),
            vision_config=SiglipVisionConfig(**TOWER, image_size=SIDE, patch_size=PATCH, vision_use_head=False),
            mm_tokens_per_image=IMAGE_TOKENS,
            boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
            eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
            image_token_index=image,
        ),
        decoder=T5Gemma2DecoderConfig(**text),
        image_token_index=image,
        tie_word_embeddings=False,
        decoder_start_token_id=tokenizer.bos_token_id,
    )
    processor = Gemma3Processor(
        image_processor=Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        image_seq_length=IMAGE_TOKENS,
    )
    write_checkpoint(folder, T5Gemma2ForConditionalGeneration, config, processor, "<eos>")


FAMILIES = {
    "t5gemma-2": Family(
        build_t5gemma2,
        "t5gemma2",
        decoder="model.decoder",
        tower="model.encoder.vision_tower",
        projector="model.encoder.multi_modal_projector",
        end="<eos>",
        chat_template=TEMPLATE,
    )
}
