"""Configuration of a checkpoint: whether it is an LVLM that the installed transformers can run."""

from typing import Any

import transformers
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
    MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING,
)

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.folders import file_problem
from lightning_c3l.lvlm.load_errors import REMOTE_CODE, one_line

_TEXT_MODELS = [MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING]
# of what no LVLM is, by the mappings of transformers
_OTHER_MODELS = (
    ("is a speech model", [MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING]),
    ("is a text model, which takes no images", _TEXT_MODELS),
    (
        "compares images with texts and writes none, as CLIP does",
        [MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING],
    ),
    ("is an image model, which writes no text", [MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING]),
)
_CLASS = "AutoModelForImageTextToText"


def load_config(path: str, options: dict[str, Any]) -> PreTrainedConfig:
    """Configuration of an LVLM.

    Args:
        path: folder or Hub name.
        options: of `from_pretrained`.

    Raises:
        LVLMError: if it cannot be read, or is not that of an LVLM which this transformers, or the code that comes with
            the checkpoint where that is trusted, can run.
    """
    try:
        raw, _ = PreTrainedConfig.get_config_dict(path, **options)
        if refusal := _refusal(raw, options["trust_remote_code"]):
            raise LVLMError(f"{path}: {refusal}")
        config = AutoConfig.from_pretrained(path, **options)
    except LVLMError:
        raise
    except Exception as error:
        problem = file_problem(path) or f"config.json cannot be used: {one_line(error)}"
        raise LVLMError(f"{path}: {problem}") from error
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING and _CLASS not in _code_of(raw):
        raise LVLMError(f"{path}: {_other_model(config)}; give a vision-language model")
    return config


def _code_of(raw: dict[str, Any]) -> dict[str, Any]:
    """Classes of transformers for which the checkpoint brings code, with the names of its own."""
    code = raw.get("auto_map")
    return code if isinstance(code, dict) else {}


def _refusal(raw: dict[str, Any], trust_remote_code: bool) -> str:
    """Why the options of a config.json are of no use here; empty if they may be."""
    kind, code = raw.get("model_type"), _code_of(raw)
    if "group_size" in (raw.get("quantization") or ()):
        return "its weights are in MLX's format, which transformers does not read; take those that they were made from"
    if kind in CONFIG_MAPPING:
        return ""
    if code and not trust_remote_code:
        return REMOTE_CODE
    if code:
        offered = ", ".join(sorted(code))
        return "" if _CLASS in code else f"its own code has no {_CLASS} (only {offered}), so it cannot be run here"
    if not kind:
        return "config.json names no model_type, so it is no checkpoint of transformers"
    return (
        f"transformers {transformers.__version__} does not know the model_type {kind}: upgrade it (pip install "
        "--upgrade transformers), or take a version of the model for transformers (its name often ends in -hf)"
    )


def _other_model(config: PreTrainedConfig) -> str:
    """What a model is that is no LVLM."""
    kinds = (
        what
        for what, mappings in _OTHER_MODELS
        if any(type(config) in mapping for mapping in mappings)
        # some that take images or sound are listed with the text models
        and not (mappings is _TEXT_MODELS and config.sub_configs)
    )
    no_class = f"has no image-text-to-text model in transformers {transformers.__version__}"
    return f"model_type {config.model_type} {next(kinds, no_class)}"
