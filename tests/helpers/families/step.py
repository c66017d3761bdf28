"""Step 3.7: the whole image and cuts of it, a decoder with more heads where it sees windows, and experts."""

from pathlib import Path

from transformers import (
    Step3p7Config,
    Step3p7ForConditionalGeneration,
    Step3p7ImageProcessor,
    Step3p7Processor,
    Step3p7TextConfig,
    Step3p7VisionConfig,
)

from tests.helpers.families.family import DECODER, TOWER, Family, token_ids, write_checkpoint
from tests.helpers.families.tokens import build_tokenizer

SPECIALS = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<im_patch>",
    "<im_start>",
    "<im_end>",
    "<patch_start>",
    "<patch_end>",
    "<patch_newline>",
]
# the whole image has 2 x 2 tokens, a cut of it one
SIDE, CUT, PATCH = 112, 56, 14
# shorter than any prompt
WINDOW = 12

# an answer begins with thoughts, and no option turns them off; they are left out before the last question
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] + '\n' }}"
    "{% if message['role'] == 'assistant' and loop.last %}{{ '<think>\n\n</think>\n' }}{% endif %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<im_patch>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{{ '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)


def build_step(folder: Path) -> None:
    """A full layer, then two with windows, six heads and four experts, of which a token takes two."""
    tokenizer = build_tokenizer(SPECIALS, eos="<|im_end|>", pad="<|endoftext|>")
    config = Step3p7Config(
        vision_config=Step3p7VisionConfig(
            **TOWER,
            image_size=SIDE,
            patch_size=PATCH,
            mlp_ratio=2.0,
            max_position_embeddings=(SIDE // PATCH) ** 2,
        ),
        text_config=Step3p7TextConfig(
            **DECODER | {"num_hidden_layers": 3},
            **token_ids(tokenizer),
            head_dim=16,
            num_sliding_attention_heads=6,
            sliding_window=WINDOW,
            layer_types=["full_attention", "sliding_attention", "sliding_attention"],
            mlp_layer_types=["dense", "sparse", "sparse"],
            n_routed_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=32,
            share_expert_dim=32,
            moe_router_scaling_factor=2.0,
            swiglu_limits=[None, None, 7.0],
            swiglu_limits_shared=[None, None, 16.0],
            rope_parameters={
                "full_attention": {"rope_type": "default", "rope_theta": 5e6, "partial_rotary_factor": 0.5},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 1.0},
            },
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<im_patch>"),
    )
    processor = Step3p7Processor(
        image_processor=Step3p7ImageProcessor(size={"height": SIDE, "width": SIDE}, patch_size=CUT),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    write_checkpoint(folder, Step3p7ForConditionalGeneration, config, processor, "<|im_end|>")


FAMILIES = {
    "step-3.7": Family(
        build_step,
        "step3p7",
        decoder="model.language_model",
        tower="model.vision_model",
        projector="model.multi_modal_projector",
        end="<|im_end|>",
        thoughts="<think>\n\n</think>\n",
    )
}
