"""Real LVLM families at tiny size: their own configuration, model and processor classes, random weights.

Most of the processors need torchvision: see `tests.helpers.torchvision_shim`.
"""

from enum import Enum
from importlib import import_module
from typing import Any

import pytest

from tests.helpers.families.family import Family


class Tier(Enum):
    """Which command tests a family; `make test-families` tests those of all tiers."""

    QUICK = "make test"
    SLOW = "make test-slow"
    ALL = "make test-families"


MARKS = {Tier.QUICK: (), Tier.SLOW: (pytest.mark.slow,), Tier.ALL: (pytest.mark.families,)}


# name of the family -> module of this package that has it in its `FAMILIES`, tier; sorted by name
TABLE = {
    "aria": ("aria", Tier.ALL),
    "aya-vision": ("cohere", Tier.SLOW),
    "blip-2": ("blip", Tier.ALL),
    "chameleon": ("discrete", Tier.ALL),
    "command-a-vision": ("cohere", Tier.ALL),
    "cosmos-3-edge": ("cosmos", Tier.ALL),
    "cosmos-3-omni": ("cosmos", Tier.ALL),
    "deepseek-ocr-2": ("deepseek_ocr", Tier.ALL),
    "deepseek-vl": ("deepseek", Tier.ALL),
    "deepseek-vl-hybrid": ("deepseek", Tier.ALL),
    "dots-3-note": ("dots", Tier.ALL),
    "emu-3": ("discrete", Tier.ALL),
    "ernie-4.5-vl-moe": ("ernie", Tier.ALL),
    "exaone-4.5": ("exaone", Tier.ALL),
    "fast-vlm": ("timm_towers", Tier.ALL),
    "florence-2": ("florence", Tier.ALL),
    "fuyu": ("fuyu", Tier.ALL),
    "gemma-3": ("gemma", Tier.QUICK),
    "gemma-3n": ("gemma3n", Tier.SLOW),
    "gemma-4": ("gemma4", Tier.QUICK),
    "gemma-4-e": ("gemma4", Tier.QUICK),
    "gemma-4-moe": ("gemma4", Tier.SLOW),
    "gemma-4-unified": ("gemma4", Tier.ALL),
    "git": ("git", Tier.ALL),
    "glm-4.1v": ("glm4v", Tier.SLOW),
    "glm-4.5v": ("glm4v", Tier.SLOW),
    "glm-4.6v-flash": ("glm4v", Tier.ALL),
    "glm-5.3-flash": ("glm5_next", Tier.ALL),
    "glm-ga": ("glmga", Tier.ALL),
    "glm-ocr": ("ocr", Tier.ALL),
    "got-ocr2": ("ocr", Tier.ALL),
    "granite-4-vision": ("granite", Tier.ALL),
    "granite-docling": ("granite", Tier.ALL),
    "hunyuan-ocr": ("hunyuan", Tier.ALL),
    "hyperclovax-vision": ("hyperclovax", Tier.ALL),
    "idefics": ("idefics1", Tier.ALL),
    "idefics2": ("idefics", Tier.SLOW),
    "idefics3": ("idefics", Tier.SLOW),
    "inkling": ("inkling", Tier.ALL),
    "inkling-2": ("inkling", Tier.ALL),
    "instructblip": ("blip", Tier.ALL),
    "internvl": ("internvl", Tier.QUICK),
    "janus-pro": ("deepseek", Tier.ALL),
    "kimi-k2.5": ("kimi", Tier.SLOW),
    "kosmos-2": ("kosmos", Tier.ALL),
    "kosmos-2.5": ("kosmos", Tier.ALL),
    "lfm2-vl": ("lfm2_vl", Tier.SLOW),
    "lfm3-vl": ("lfm3_vl", Tier.ALL),
    "lighton-ocr": ("ocr", Tier.ALL),
    "llama-4": ("llama4", Tier.SLOW),
    "llava-1.5": ("llava", Tier.QUICK),
    "llava-next": ("llava", Tier.SLOW),
    "llava-next-video": ("llava_kin", Tier.ALL),
    "llava-onevision": ("llava", Tier.QUICK),
    "minicpm-ocr": ("minicpm", Tier.ALL),
    "minicpm-v-4.6": ("minicpm", Tier.SLOW),
    "minicpm-v-4.7": ("minicpm", Tier.ALL),
    "minimax-m3": ("minimax", Tier.ALL),
    "ministral-3": ("mistral", Tier.ALL),
    "mistral-3": ("mistral", Tier.QUICK),
    "mistral-large-4": ("mistral", Tier.ALL),
    "mistral-small-4": ("mistral", Tier.ALL),
    "mllama": ("mllama", Tier.SLOW),
    "molmo-2": ("molmo", Tier.ALL),
    "muse-glimmer": ("muse", Tier.ALL),
    "muse-spark": ("muse", Tier.ALL),
    "nemotron-omni": ("nemotron", Tier.ALL),
    "north-vision": ("compass", Tier.ALL),
    "ovis2": ("ovis", Tier.SLOW),
    "paddleocr-vl": ("ocr", Tier.ALL),
    "paligemma": ("paligemma", Tier.SLOW),
    "paligemma-2": ("paligemma", Tier.ALL),
    "perception-lm": ("timm_towers", Tier.ALL),
    "pixtral": ("mistral", Tier.SLOW),
    "pp-chart2table": ("pp_chart", Tier.ALL),
    "qianfan-ocr": ("qianfan", Tier.ALL),
    "qwen2-vl": ("qwen", Tier.SLOW),
    "qwen2.5-omni": ("qwen_omni", Tier.ALL),
    "qwen2.5-vl": ("qwen", Tier.QUICK),
    "qwen3-omni": ("qwen_omni", Tier.ALL),
    "qwen3-vl": ("qwen3_vl", Tier.QUICK),
    "qwen3-vl-moe": ("qwen3_vl", Tier.SLOW),
    "qwen3.5": ("qwen3_5", Tier.QUICK),
    "qwen3.5-moe": ("qwen3_5", Tier.QUICK),
    "qwen4-exp": ("qwen4_exp", Tier.ALL),
    "smolvlm": ("smolvlm", Tier.QUICK),
    "step-3.7": ("step", Tier.ALL),
    "t5gemma-2": ("t5gemma2", Tier.ALL),
    "unlimited-ocr": ("deepseek_ocr", Tier.ALL),
    "video-llama-3": ("video_llama", Tier.ALL),
    "video-llava": ("llava_kin", Tier.ALL),
    "vipllava": ("llava_kin", Tier.ALL),
}


def family(name: str) -> Family:
    """The family of that name; its module is imported now, since all of them together take seconds."""
    module, _ = TABLE[name]
    found: dict[str, Family] = import_module(f"{__name__}.{module}").FAMILIES
    return found[name]


def parameters() -> list[Any]:
    """Names of all families, each marked with its tier and kept in one process, to run a test once a family."""
    return [
        pytest.param(name, marks=(pytest.mark.xdist_group(name), *MARKS[tier])) for name, (_, tier) in TABLE.items()
    ]


__all__ = ["TABLE", "Family", "Tier", "family", "parameters"]
