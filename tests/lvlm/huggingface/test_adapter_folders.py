"""A trained adapter's folder in the place of a checkpoint."""

import json
from pathlib import Path

import pytest
import torch

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.scoring import score_pairs
from tests.tiny import SMALL_LORA, load_tiny, pictures

PAIRS = [[("What color are the rings?", "red"), ("Where are the crosses?", "top left corner")]]


@pytest.fixture
def adapter(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    load_tiny(tiny_checkpoint).save(tmp_path / "adapter")
    return tmp_path / "adapter"


def change(folder: Path, **changes: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_it_is_its_base_with_the_adapter(tiny_checkpoint: Path, adapter: Path) -> None:
    trained, found = load_tiny(tiny_checkpoint), HuggingFaceLVLM(str(adapter), lora=None)
    assert not any(parameter.requires_grad for parameter in found.network.parameters())
    mine, theirs = (score_pairs(one, pictures(1), PAIRS) for one in (found, trained))
    assert torch.equal(mine.logp, theirs.logp)
    with found.reference():
        assert torch.equal(
            score_pairs(found, pictures(1), PAIRS).logp,
            score_pairs(load_tiny(tiny_checkpoint, None), pictures(1), PAIRS).logp,
        )
    assert found.name == str(adapter)


def test_its_fingerprint_is_of_both(tiny_checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    names = [
        HuggingFaceLVLM(str(one), lora=None, keep_reference=False).fingerprint for one in (tiny_checkpoint, adapter)
    ]
    other = load_tiny(tiny_checkpoint)
    with torch.no_grad():
        next(p for p in other.network.parameters() if p.requires_grad).mul_(2.0)
    other.save(tmp_path / "other")
    names.append(HuggingFaceLVLM(str(tmp_path / "other"), lora=None).fingerprint)
    assert len(set(names)) == 3


@pytest.mark.parametrize(
    ("spoil", "lora", "said"),
    [
        (lambda folder: None, SMALL_LORA, "adapter already: set lora: null"),
        (lambda folder: change(folder, base_model_name_or_path=None), None, "names no base_model_name_or_path"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), None, "names no base_model_name_or_path"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), None, "has no adapter_model.safetensors"),
        (lambda folder: change(folder, base_model_name_or_path="no/such/place"), None, "no/such/place"),
        (lambda folder: change(folder, r=3), None, "does not fit its base"),
        (lambda folder: change(folder, target_modules=["no_such_layer"]), None, "does not fit its base"),
        (lambda folder: change(folder, target_modules=["q_proj", "fc1"]), None, "does not fit its base"),
    ],
)
def test_what_cannot_be_used_is_refused(adapter, spoil, lora, said, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    spoil(adapter)
    with pytest.raises(LVLMError, match=said):
        HuggingFaceLVLM(str(adapter), lora=lora)
