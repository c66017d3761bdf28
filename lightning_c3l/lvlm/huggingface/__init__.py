"""LVLMs of the transformers library, which only this package and the builder of the scenes' checkpoint import."""

from lightning_c3l.lvlm.huggingface.adapter_folders import merge_adapter, require_checkpoint
from lightning_c3l.lvlm.huggingface.adapters import LoRA
from lightning_c3l.lvlm.huggingface.model import HuggingFaceLVLM

__all__ = ["HuggingFaceLVLM", "LoRA", "merge_adapter", "require_checkpoint"]
