"""`merge` against the adapter that it folds in."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from lightning_c3l.cli.merge import main
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.tiny import build_lookalike, load_tiny, pictures

PAIRS = [[("What color are the rings?", "red"), ("Where are the crosses?", "top left corner")]]


def test_merged_weights_score_alike(tiny_checkpoint: Path, tmp_path: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint)
    lvlm.save(tmp_path / "adapter")
    assert main([str(tiny_checkpoint), str(tmp_path / "adapter"), str(tmp_path / "merged")]) == 0
    merged, base = (load_tiny(folder, None) for folder in (tmp_path / "merged", tiny_checkpoint))
    mine, theirs, before = (score_pairs(one, pictures(1), PAIRS) for one in (lvlm, merged, base))
    torch.testing.assert_close(theirs.logp_image, mine.logp_image, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(theirs.logp_blind, mine.logp_blind, atol=1e-5, rtol=1e-5)
    assert float((before.logp_image - mine.logp_image).abs().max()) > 0.1


def test_what_cannot_be_merged_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no adapter_config"):
        main([str(tiny_checkpoint), str(tmp_path), str(tmp_path / "out")])
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="already exists"):
        main([str(tiny_checkpoint), str(tmp_path), str(tmp_path)])
    assert not (tmp_path / "out").exists()


def rename(folder: Path, change: Callable[[str], str | None]) -> None:
    """Give the weights of an adapter other names; None removes one."""
    file = folder / "adapter_model.safetensors"
    renamed = {change(name): value for name, value in load_file(file).items()}
    save_file({name: value for name, value in renamed.items() if name is not None}, file)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda name: name.replace("q_proj", "x_proj"), "the model lacks 4 weights: .*x_proj.lora_A"),
        (lambda name: f"other.{name}", "the model lacks 28 weights: .*other.model"),
        (
            lambda name: None if "layers.1.self_attn.q_proj.lora_B" in name else name,
            "the file lacks 1 weights: .*lora_B",
        ),
    ],
    ids=["some", "all", "one missing"],
)
def test_weights_that_one_side_lacks_are_refused(
    tiny_checkpoint: Path, tmp_path: Path, change: Callable[[str], str | None], said: str
) -> None:
    adapter = tmp_path / "adapter"
    load_tiny(tiny_checkpoint).save(adapter)
    rename(adapter, change)
    with pytest.raises(ValueError, match=said) as caught:
        main([str(tiny_checkpoint), str(adapter), str(tmp_path / "out")])
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match=said):
        HuggingFaceLVLM(str(adapter), lora=None)


def test_another_base_of_equal_shapes_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    adapter, other = tmp_path / "adapter", build_lookalike(tiny_checkpoint, tmp_path / "other")
    load_tiny(tiny_checkpoint).save(adapter)
    assert [(other / name).stat().st_size for name in ("model.safetensors", "config.json")] == [
        (tiny_checkpoint / name).stat().st_size for name in ("model.safetensors", "config.json")
    ]
    for known in ("fingerprint", "base_model_name_or_path"):
        # by its weights, and by its name where they are not recorded
        with pytest.raises(ValueError, match=f"trained on {tiny_checkpoint}.*{known}"):
            main([str(other), str(adapter), str(tmp_path / "out")])
        assert not (tmp_path / "out").exists()
        (adapter / "base.json").unlink(missing_ok=True)


@pytest.mark.parametrize("recorded", [True, False])
def test_a_copy_of_the_base_is_the_base(tiny_checkpoint: Path, tmp_path: Path, recorded: bool) -> None:
    adapter = tmp_path / "adapter"
    load_tiny(tiny_checkpoint).save(adapter)
    if not recorded:
        (adapter / "base.json").unlink()
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    assert main([str(tmp_path / "copy"), str(adapter), str(tmp_path / "out")]) == 0


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        return model(input_ids=torch.arange(20, 60)[None]).logits  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["lm_head", "embed_tokens"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"]},
    ],
    ids=["head", "embeddings", "both", "saved head", "neither"],
)
@pytest.mark.filterwarnings("ignore:.*tie")
def test_an_adapter_on_tied_weights_is_merged_as_it_was_trained(
    tiny_checkpoint: Path, tmp_path: Path, options: dict[str, list[str]]
) -> None:
    """Adapters of other tools may change the head, which shares its weight with the embeddings."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(tiny_checkpoint, base)
    model = LlavaForConditionalGeneration.from_pretrained(base)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(base)
    model = LlavaForConditionalGeneration.from_pretrained(base).eval()
    assert model.lm_head.weight is model.get_input_embeddings().weight
    before = logits(model)
    adapted = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, **options))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    adapted.eval().save_pretrained(adapter)
    wanted = logits(adapted)
    assert float((wanted - before).abs().max()) > 0.1
    assert main([str(base), str(adapter), str(tmp_path / "out")]) == 0
    merged = LlavaForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    torch.testing.assert_close(logits(merged), wanted, atol=1e-3, rtol=1e-3)
    # the adapter on its base says the same
    torch.testing.assert_close(logits(HuggingFaceLVLM(str(adapter), lora=None).model), wanted, atol=1e-3, rtol=1e-3)


def test_adapters_that_change_the_prompt_are_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The decoder would never see them."""
    adapter = tmp_path / "adapter"
    load_tiny(tiny_checkpoint).save(adapter)
    config = json.loads((adapter / "adapter_config.json").read_text())
    prompt = PromptTuningConfig(num_virtual_tokens=2, base_model_name_or_path=config["base_model_name_or_path"])
    prompt.save_pretrained(str(adapter))
    with pytest.raises(ValueError, match="adapters change the prompt"):
        HuggingFaceLVLM(str(adapter), lora=None)
