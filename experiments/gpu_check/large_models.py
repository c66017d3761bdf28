"""LVLMs of the sizes that people use, with random weights: nothing is downloaded, and no disk is filled.

A model is the tiny one of its family (`tests.helpers.families`) with the sizes of the real one. Its weight file has no
content: a file with holes, which reads as zeros. The weights are drawn on the device after loading.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText

from experiments.gpu_check.arithmetic import Parameters
from experiments.gpu_check.tiny_families import helpers
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA

_STD = 0.02


@dataclass(frozen=True)
class LargeModel:
    """Sizes of a published model, which replace those of the tiny one of its family.

    Attributes:
        family: name of the tiny one.
        config: what is different in its config.json.
        image_processor: what is different there in its processor_config.json.
        side: pixels of the square images.
    """

    family: str
    config: dict[str, Any] = field(default_factory=dict)
    image_processor: dict[str, Any] = field(default_factory=dict)
    side: int = 48

    def tiny(self) -> "LargeModel":
        """The tiny one, unchanged."""
        return LargeModel(self.family)


# the sizes of llava-hf/llava-1.5-7b-hf: 576 tokens an image
LLAVA = LargeModel(
    "llava-1.5",
    {
        "text_config": {
            "hidden_size": 4096,
            "intermediate_size": 11008,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 32,
            "head_dim": 128,
            "vocab_size": 32064,
            "max_position_embeddings": 4096,
        },
        "vision_config": {
            "hidden_size": 1024,
            "intermediate_size": 4096,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "image_size": 336,
            "patch_size": 14,
        },
        "image_seq_length": 576,
    },
    {"size": {"shortest_edge": 336}, "crop_size": {"height": 336, "width": 336}},
    336,
)
# the sizes of Qwen/Qwen3-VL-8B-Instruct: one token for 32 x 32 pixels, 576 for an image of 768 x 768
QWEN = LargeModel(
    "qwen3-vl",
    {
        "text_config": {
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 151936,
            "max_position_embeddings": 262144,
            "rope_parameters": {"mrope_section": [24, 20, 20]},
        },
        "vision_config": {
            "depth": 27,
            "hidden_size": 1152,
            "intermediate_size": 4304,
            "num_heads": 16,
            "out_hidden_size": 4096,
            "num_position_embeddings": 2304,
            "deepstack_visual_indexes": [8, 16, 24],
        },
    },
    {"size": {"shortest_edge": 256 * 256, "longest_edge": 1024 * 1024}},
    768,
)


def build_lvlm(model: LargeModel, folder: Path, device: str, lora: LoRA) -> HuggingFaceLVLM:
    """Build a model in bfloat16, as a user would load theirs.

    Args:
        model: its sizes.
        folder: an empty folder for the checkpoint.
        device: where the weights are drawn.
        lora: adapter to train.
    """
    prepare(model, folder)
    write_zeros(folder)
    lvlm = HuggingFaceLVLM(str(folder), lora=lora, dtype="bfloat16", keep_reference=False)
    lvlm.network.to(device)
    draw_weights(lvlm.model)
    return lvlm


def prepare(model: LargeModel, folder: Path) -> None:
    """Write the tiny checkpoint of the family, with configurations of these sizes; its weights are not of them."""
    helpers("families").family(model.family).build(folder)
    _change(folder / "config.json", model.config)
    _change(folder / "processor_config.json", {"image_processor": model.image_processor})


def _change(file: Path, changes: dict[str, Any]) -> None:
    """Change values of a JSON file, and values within its values."""

    def merge(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        inner = {k: merge(old[k], v) for k, v in new.items() if isinstance(v, dict) and isinstance(old.get(k), dict)}
        return old | new | inner

    file.write_text(json.dumps(merge(json.loads(file.read_text()), changes)))


def write_zeros(folder: Path) -> None:
    """Replace a checkpoint's weight file by one that reads as zeros in bfloat16, of the shapes that its config says."""
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder))
    header, end = dict[str, Any](), 0
    for name, tensor in model.state_dict().items():
        start, end = end, end + 2 * tensor.numel()
        header[name] = {"dtype": "BF16", "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


@torch.no_grad()
def draw_weights(model: nn.Module) -> None:
    """Matrices from a narrow normal distribution, scales one, biases zero; adapters stay as they are."""
    torch.manual_seed(0)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            continue
        if parameter.ndim > 1:
            parameter.normal_(std=_STD)
        else:
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)


def parameters_of(lvlm: HuggingFaceLVLM) -> Parameters:
    """Parameters of the decoder's layers and of the head; adapters are not counted."""
    layers = sum(p.numel() for name, p in lvlm.decoder_layers.named_parameters() if "lora_" not in name)
    return Parameters(layers, lvlm.model.get_output_embeddings().weight.numel())
