"""GLM-GA: GLM-4.6V's model behind image sizes of its own."""

from pathlib import Path

from transformers import (
    Glm46VForConditionalGeneration,
    Glm46VProcessor,
    GlmgaConfig,
    GlmgaImageProcessor,
    GlmgaVideoProcessor,
)

from tests.helpers.families.family import DECODER, Family, token_ids, write_checkpoint
from tests.helpers.families.glm4v import GLM_45V, PIXELS, ROPE, VISION, glm_tokenizer, named_ids


def build_glmga(folder: Path) -> None:
    """The parts of GLM-4.1V under a configuration of their own."""
    tokenizer = glm_tokenizer()
    config = GlmgaConfig(
        vision_config={"model_type": "glm4v_vision", **VISION},
        text_config={"model_type": "glm4v_text", **DECODER, **token_ids(tokenizer), "rope_parameters": ROPE},
        **named_ids(tokenizer),
    )
    processor = Glm46VProcessor(
        image_processor=GlmgaImageProcessor(size=PIXELS),
        tokenizer=tokenizer,
        video_processor=GlmgaVideoProcessor(size=PIXELS),
        chat_template=GLM_45V,
    )
    write_checkpoint(folder, Glm46VForConditionalGeneration, config, processor, "<|user|>")


FAMILIES = {
    "glm-ga": Family(
        build_glmga,
        "glmga",
        decoder="model.language_model",
        tower="model.visual",
        projector="model.visual.merger",
        end="<|user|>",
        closes=False,
    )
}
