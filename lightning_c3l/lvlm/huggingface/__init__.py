"""LVLMs of the transformers library; no other package of this project imports transformers, but the scenes' builder."""

from lightning_c3l.lvlm.huggingface.adapter_folders import merged, require_checkpoint
from lightning_c3l.lvlm.huggingface.adapters import LoRA
from lightning_c3l.lvlm.huggingface.model import HuggingFaceLVLM

__all__ = ["HuggingFaceLVLM", "LoRA", "merged", "require_checkpoint"]
