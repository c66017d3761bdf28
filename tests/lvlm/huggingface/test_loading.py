"""What is no LVLM is refused in one line that names it."""

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, loading
from lightning_c3l.lvlm.huggingface.loading import fingerprint, load_checkpoint
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.tiny import build_lookalike, load_tiny, pictures


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


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("operator torchvision::nms does not exist", r"torchvision 9\.9 does not fit torch .* or uninstall it"),
        ("something else", "no usable processor: something else"),
    ],
)
def test_a_processor_that_cannot_be_imported(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, problem: str, said: str
) -> None:
    """torchvision's ordinary wheel beside a CPU build of torch has no operators."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(problem)

    monkeypatch.setattr(loading.AutoProcessor, "from_pretrained", broken)
    monkeypatch.setattr("lightning_c3l.lvlm.installation.version", lambda _: "9.9")
    assert re.search(said, refusal(tiny_checkpoint))


def test_a_folder_without_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert "no model.safetensors in this folder" in refusal(copy(tiny_checkpoint, tmp_path, "model.safetensors"))


def test_a_weight_that_is_missing_is_named(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """It would be random."""
    folder = copy(tiny_checkpoint, tmp_path)
    weights = load_file(folder / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("multi_modal_projector.linear_2.weight"))
    del weights[name]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert "lacks 1 weights of its model, among them model.multi_modal_projector.linear_2.weight" in refusal(folder)


def test_a_weight_of_another_shape_is_one_line(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = copy(tiny_checkpoint, tmp_path)
    weights = load_file(folder / "model.safetensors")
    (name,) = (name for name in weights if name.endswith("multi_modal_projector.linear_2.weight"))
    weights[name] = weights[name][:-1]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    rows, columns = weights[name].shape
    said = refusal(folder)
    assert "1 weights are of another shape" in said
    assert f"multi_modal_projector.linear_2.weight: ({rows}, {columns}) instead of ({rows + 1}, {columns});" in said


def test_a_folder_without_chat_template(tiny_checkpoint: Path, tmp_path: Path) -> None:
    assert "no chat template" in refusal(copy(tiny_checkpoint, tmp_path, "chat_template.jinja"))


def test_precision_is_that_of_the_weights_in_memory(tiny_checkpoint: Path) -> None:
    model, _ = load_checkpoint(str(tiny_checkpoint), "bfloat16", trust_remote_code=False)
    assert {str(p.dtype) for p in model.parameters()} == {"torch.bfloat16"}
    assert not model.training


def test_a_tokenizer_without_pad_token_is_used_as_one_that_has_one(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """Images of different sizes are padded to one length, under a mask."""
    folder = copy(tiny_checkpoint, tmp_path)
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text())
    assert config.pop("pad_token") == "<pad>"
    file.write_text(json.dumps(config))
    assert AutoTokenizer.from_pretrained(folder).pad_token is None
    pairs = [[("What color are the rings?", "red")], [("Where are the crosses?", "top left corner")]]
    scores = [score_pairs(load_tiny(one, None), pictures(2), pairs).logp_image for one in (folder, tiny_checkpoint)]
    assert torch.equal(*scores)


def test_a_fingerprint_sees_what_lies_between_the_ends_of_a_file(tiny_checkpoint: Path, tmp_path: Path) -> None:
    other = build_lookalike(tiny_checkpoint, tmp_path / "other")
    assert fingerprint(str(other)) != fingerprint(str(tiny_checkpoint))


def test_a_fingerprint_is_the_same_in_one_file_or_several(tiny_checkpoint: Path, tmp_path: Path) -> None:
    model, _ = load_checkpoint(str(tiny_checkpoint), "float32", trust_remote_code=False)
    model.save_pretrained(tmp_path, max_shard_size="100kB")
    # files that transformers does not read do not count
    (tmp_path / "consolidated.safetensors").write_bytes(b"")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert fingerprint(str(tmp_path)) == fingerprint(str(tiny_checkpoint))


def test_a_downloaded_checkpoint_has_the_fingerprint_of_its_folder(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "models--some--name" / "snapshots" / ("0" * 40)
    shutil.copytree(tiny_checkpoint, snapshot)
    (tmp_path / "models--some--name" / "refs").mkdir()
    (tmp_path / "models--some--name" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert fingerprint("some/name") == fingerprint(str(tiny_checkpoint))


def test_fingerprints_tell_weights_apart(tiny_checkpoint: Path, tmp_path: Path) -> None:
    same = copy(tiny_checkpoint, tmp_path)
    assert fingerprint(str(same)) == fingerprint(str(tiny_checkpoint))
    weights = same / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert fingerprint(str(same)) != fingerprint(str(tiny_checkpoint))
    assert fingerprint("some/name") != fingerprint("other/name")
