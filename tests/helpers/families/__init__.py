"""Real LVLM families at tiny size: their own configuration, model and processor classes, random weights.

Most of the processors need torchvision: see `tests.helpers.torchvision_shim`.
"""

from tests.helpers.families.family import Family
from tests.helpers.families.gemma import GEMMA_3
from tests.helpers.families.internvl import INTERNVL_3
from tests.helpers.families.llava import LLAVA_15, LLAVA_NEXT_MISTRAL, LLAVA_ONEVISION_QWEN
from tests.helpers.families.qwen import QWEN_25_VL
from tests.helpers.families.smolvlm import SMOLVLM_2

FAMILIES = {
    "llava-1.5": LLAVA_15,
    "llava-next": LLAVA_NEXT_MISTRAL,
    "llava-onevision": LLAVA_ONEVISION_QWEN,
    "qwen2.5-vl": QWEN_25_VL,
    "smolvlm": SMOLVLM_2,
    "gemma-3": GEMMA_3,
    "internvl": INTERNVL_3,
}

__all__ = ["FAMILIES", "Family"]
