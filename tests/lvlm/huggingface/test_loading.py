"""What is no LVLM is refused in one line that names it."""

import shutil
from pathlib import Path

import pytest

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.loading import fingerprint, load_checkpoint


def refusal(path: Path) -> str:
    with pytest.raises(LVLMError) as caught:
        HuggingFaceLVLM(str(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def copy(tiny_checkpoint: Path, tmp_path: Path, *without: str) -> Path:
    shutil.copytree(tiny_checkpoint, tmp_path / "copy")
    for name in without:
        (tmp_path / "copy" / name).unlink()
    return tmp_path / "copy"


def test_an_empty_folder(tmp_path: Path) -> None:
    assert "no config.json" in refusal(tmp_path)


def test_a_folder_without_processor(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert "processor" in refusal(copy(tiny_checkpoint, tmp_path, "processor_config.json"))


def test_a_folder_without_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert "no vision-language model" in refusal(copy(tiny_checkpoint, tmp_path, "model.safetensors"))


def test_a_folder_without_chat_template(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert "no chat template" in refusal(copy(tiny_checkpoint, tmp_path, "chat_template.jinja"))


def test_precision_is_that_of_the_weights_in_memory(tiny_checkpoint: Path) -> None:
    model, _ = load_checkpoint(str(tiny_checkpoint), "bfloat16", trust_remote_code=False)
    assert {str(p.dtype) for p in model.parameters()} == {"torch.bfloat16"}
    assert not model.training


def test_fingerprints_tell_weights_apart(tiny_checkpoint: Path, tmp_path: Path) -> None:
    same = copy(tiny_checkpoint, tmp_path)
    assert fingerprint(str(same)) == fingerprint(str(tiny_checkpoint))
    weights = same / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert fingerprint(str(same)) != fingerprint(str(tiny_checkpoint))
    assert fingerprint("some/name") != fingerprint("other/name")
