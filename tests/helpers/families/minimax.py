"""MiniMax M3: attention over blocks that an indexer picks, and experts."""

from pathlib import Path

from transformers import (
    MiniMaxM3SparseForConditionalGeneration,
    MiniMaxM3VLConfig,
    MiniMaxM3VLImageProcessor,
    MiniMaxM3VLProcessor,
    MiniMaxM3VLVideoProcessor,
)

from tests.helpers.families.family import DECODER, TOWER, WIDTH, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

PATCH = 14
MERGED = 2 * PATCH
PIXELS = {"shortest_edge": 4 * MERGED**2, "longest_edge": 16 * MERGED**2}
BEGIN, ROLE, END, IMAGE, VIDEO = "]~!b[", "]~b]", "[e~[", "]<]image[>[", "]<]video[>["
SPECIALS = ["]!p~[", BEGIN, ROLE, END, IMAGE, VIDEO, "]<]start of image[>[", "]<]end of image[>["]
# a mark before each role, the assistant is called ai
TEMPLATE = (
    f"{{{{ '{BEGIN}' }}}}"
    "{% for message in messages %}"
    f"{ROLE}{{{{ ('ai' if message['role'] == 'assistant' else message['role']) + '\n' }}}}"
    "{% for part in message['content'] %}"
    f"{{% if part['type'] == 'image' %}}{IMAGE}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}"
    f"{{% endfor %}}{{{{ '{END}\n' }}}}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{{{{ '{ROLE}ai\n' }}}}{{% endif %}}"
)


def build_minimax_m3(folder: Path) -> None:
    """A dense layer with full attention, and one with two of four experts that attends to 3 blocks of 8 tokens."""
    tokenizer = build_tokenizer(SPECIALS, bos=BEGIN, eos=END, pad="]!p~[")
    config = MiniMaxM3VLConfig(
        vision_config={**TOWER, "image_size": 4 * MERGED, "patch_size": PATCH},
        text_config={
            **DECODER,
            **token_ids(tokenizer),
            "intermediate_size": WIDTH,
            "dense_intermediate_size": 2 * WIDTH,
            "shared_intermediate_size": WIDTH,
            "head_dim": 16,
            "rotary_dim": 8,
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "mlp_layer_types": ["dense", "sparse"],
            "layer_types": ["full_attention", "minimax_m3_sparse"],
            "index_n_heads": 2,
            "index_head_dim": 16,
            "index_block_size": 8,
            "index_topk_blocks": 3,
        },
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        video_token_index=tokenizer.convert_tokens_to_ids(VIDEO),
        projector_hidden_size=WIDTH,
    )
    processor = MiniMaxM3VLProcessor(
        image_processor=MiniMaxM3VLImageProcessor(size=PIXELS),
        tokenizer=tokenizer,
        video_processor=MiniMaxM3VLVideoProcessor(size=PIXELS),
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, MiniMaxM3SparseForConditionalGeneration, config, processor, END)


FAMILIES = {
    "minimax-m3": Family(
        build_minimax_m3,
        "minimax_m3_vl",
        decoder="model.language_model",
        tower="model.vision_tower",
        projector="model.multi_modal_projector",
        end=END,
    )
}
