"""What is refused, in one line that names the checkpoint."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL.Image import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.families.samples import GREEDY, PAIRS, PROMPTS, group_samples
from tests.helpers.tiny import generate_texts, load_tiny

USES = {
    "score": lambda lvlm, images: score_pairs(lvlm, images[1:2], PAIRS[:1]),
    "generate": lambda lvlm, images: generate_texts(lvlm, images[1:2], PROMPTS[:1], GREEDY, 0),
    "train": lambda lvlm, images: lvlm.group_states(
        lvlm.encode_groups(group_samples(images)[:1], "prompt", "image"), "prompt", "image"
    ),
}


@pytest.mark.parametrize("use", list(USES))
def test_a_mismatch_names_both_numbers(
    checkpoint: Path, lvlm: HuggingFaceLVLM, images: list[Image], monkeypatch: pytest.MonkeyPatch, use: str
) -> None:
    (tokens,), _ = lvlm.images.encode(images[1:2])
    lvlm.prepare_training()  # its check would find the mismatch, and choose plain rows
    original = lvlm.model.get_image_features

    def one_less(*args: Any, **kwargs: Any) -> Any:
        out = original(*args, **kwargs)
        parts = [out.pooler_output] if isinstance(out.pooler_output, Tensor) else out.pooler_output
        out.pooler_output = [torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])[:-1]]
        return out

    monkeypatch.setattr(lvlm.model, "get_image_features", one_less)
    with pytest.raises(LVLMError) as caught:
        USES[use](lvlm, images)
    assert str(caught.value).startswith(f"{checkpoint}: ")
    assert {str(tokens.count), str(tokens.count - 1)} <= set(re.findall(r"\d+", str(caught.value).split(": ", 1)[1]))


def changed(checkpoint: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(checkpoint, tmp_path / "changed"))


def test_a_template_that_wants_an_image_is_refused(checkpoint: Path, images: list[Image], tmp_path: Path) -> None:
    folder = changed(checkpoint, tmp_path)
    template = folder / "chat_template.jinja"
    wanting = (
        "{% set images = namespace(count=0) %}"
        "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        "{% set images.count = images.count + 1 %}{% endif %}{% endfor %}{% endfor %}"
        "{% if images.count == 0 %}{{ raise_exception('an image is needed') }}{% endif %}"
    )
    template.write_text(wanting + template.read_text())
    with pytest.raises(LVLMError, match="without an image") as caught:
        score_pairs(load_tiny(folder), images[:1], PAIRS[:1])
    assert str(caught.value).startswith(f"{folder}: ")
    assert "an image is needed" in str(caught.value)


CODE = """
from pathlib import Path
from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

Path({mark!r}).touch()


class OwnConfig(LlavaConfig):
    model_type = "own_lvlm"


class OwnLVLM(LlavaForConditionalGeneration):
    config_class = OwnConfig


class OwnProcessor(LlavaProcessor):
    pass
"""
MODEL_CODE = {"AutoConfig": "own_code.OwnConfig", "AutoModelForImageTextToText": "own_code.OwnLVLM"}
# file of the checkpoint -> what is changed in it, so that it asks for classes of the checkpoint's own
OWN: dict[str, tuple[str, dict[str, Any]]] = {
    "model": ("config.json", {"model_type": "own_lvlm", "architectures": ["OwnLVLM"], "auto_map": MODEL_CODE}),
    "processor": (
        "processor_config.json",
        {"processor_class": "OwnProcessor", "auto_map": {"AutoProcessor": "own_code.OwnProcessor"}},
    ),
    # of a type that transformers knows too
    "known": ("config.json", {"auto_map": MODEL_CODE}),
}


@pytest.fixture
def own_code(
    which: str, family_checkpoint: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, Path]:
    """A checkpoint that brings its own Python, and the file that exists once that has run."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder, mark = changed(family_checkpoint("llava-1.5"), tmp_path), tmp_path / "has run"
    (folder / "own_code.py").write_text(CODE.format(mark=str(mark)))
    name, own = OWN[which]
    file = folder / name
    file.write_text(json.dumps(json.loads(file.read_text()) | own))
    if which == "model":
        # transformers translates the names of older files for the types that it knows alone
        weights = load_file(folder / "model.safetensors")
        weights["lm_head.weight"] = weights.pop("language_model.lm_head.weight")
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder, mark


@pytest.mark.parametrize("which", ["model", "processor"])
def test_code_that_is_trusted_runs(own_code: tuple[Path, Path], images: list[Image]) -> None:
    folder, mark = own_code
    lvlm = HuggingFaceLVLM(str(folder), trust_remote_code=True)
    assert mark.exists()
    assert len(generate_texts(lvlm, images[:1], PROMPTS[:1], GREEDY, 0)) == 1


@pytest.mark.parametrize("which", ["model", "processor"])
def test_code_of_a_checkpoint_is_refused(own_code: tuple[Path, Path]) -> None:
    folder, mark = own_code
    with pytest.raises(LVLMError, match="trust_remote_code") as caught:
        HuggingFaceLVLM(str(folder))
    assert str(caught.value).startswith(f"{folder}: ")
    assert "\n" not in str(caught.value)
    assert not mark.exists()


@pytest.mark.parametrize("which", ["known"])
def test_code_that_is_not_needed_is_not_run(own_code: tuple[Path, Path]) -> None:
    folder, mark = own_code
    assert type(HuggingFaceLVLM(str(folder), lora=None).model).__module__.startswith("transformers.models.llava.")
    assert not mark.exists()
