"""Florence-2: an encoder that reads image and question, and a decoder that writes the answer."""

from pathlib import Path

from transformers import (
    BartConfig,
    CLIPImageProcessor,
    Florence2Config,
    Florence2ForConditionalGeneration,
    Florence2Processor,
    Florence2VisionConfig,
)

from tests.helpers.families.family import HEADS, LAYERS, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

# the tower shrinks each side 32 times; a mean of all patches comes first
SIDE = 64
IMAGE_TOKENS = (SIDE // 32) ** 2 + 1
# the processor puts image tokens before the text and closes it
TEMPLATE = (
    "{% for message in messages %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ '</s>' if message['role'] == 'assistant' }}"
    "{% endfor %}"
)


def build_florence2(folder: Path) -> None:
    """DaViT, whose blocks attend over windows and over channels, and BART."""
    tokenizer = build_tokenizer(
        ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "<image>"],
        bos="<s>",
        eos="</s>",
        pad="<pad>",
        image_token="<image>",
    )
    config = Florence2Config(
        vision_config=Florence2VisionConfig(
            depths=[1, 1, 1, 1],
            embed_dim=[8, 16, 16, 32],
            num_heads=[1, 1, 1, 2],
            num_groups=[1, 1, 1, 2],
            window_size=4,
            # would make training random, as BART's dropout would
            drop_path_rate=0.0,
            mlp_ratio=2.0,
            projection_dim=WIDTH,
            max_temporal_embeddings=4,
            max_position_embeddings=8,
        ),
        text_config=BartConfig(
            **token_ids(tokenizer),
            d_model=WIDTH,
            encoder_layers=LAYERS,
            decoder_layers=LAYERS,
            encoder_ffn_dim=2 * WIDTH,
            decoder_ffn_dim=2 * WIDTH,
            encoder_attention_heads=HEADS,
            decoder_attention_heads=HEADS,
            max_position_embeddings=256,
            dropout=0.0,
            forced_eos_token_id=None,
        ),
        # the real one's are tied: with random weights every token would predict itself
        tie_word_embeddings=False,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    processor = Florence2Processor(
        image_processor=CLIPImageProcessor(
            size={"height": SIDE, "width": SIDE}, do_center_crop=False, image_seq_length=IMAGE_TOKENS
        ),
        tokenizer=tokenizer,
    )
    write_checkpoint(folder, Florence2ForConditionalGeneration, config, processor, "</s>")


FAMILIES = {
    "florence-2": Family(
        build_florence2,
        "florence2",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end="</s>",
        chat_template=TEMPLATE,
        one_image="its processor writes the tokens of one image before the text",
    )
}
