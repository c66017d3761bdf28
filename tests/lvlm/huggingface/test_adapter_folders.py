"""A trained adapter's folder in the place of a checkpoint."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.adapter_folders import adapter_base, merge_adapter
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.families import family
from tests.helpers.tiny import SMALL_LORA, awaken_adapter, build_lookalike, load_tiny, pictures

PAIRS = [[("What color are the rings?", "red"), ("Where are the crosses?", "top left corner")]]


@pytest.fixture(scope="module")
def saved(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter folder; do not write into it."""
    folder = tmp_path_factory.mktemp("saved") / "adapter"
    load_tiny(tiny_checkpoint).save(folder)
    return folder


@pytest.fixture
def adapter(saved: Path, tmp_path: Path) -> Path:
    """A copy of it for one test, which finds the base by its absolute path."""
    return Path(shutil.copytree(saved, tmp_path / "adapter"))


def change(folder: Path, **changes: object) -> None:
    file = folder / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_it_is_its_base_with_the_adapter(tiny_checkpoint: Path, adapter: Path) -> None:
    trained, found = load_tiny(tiny_checkpoint), HuggingFaceLVLM(str(adapter), lora=None)
    assert not any(parameter.requires_grad for parameter in found.network.parameters())
    mine, theirs = (score_pairs(one, pictures(1), PAIRS) for one in (found, trained))
    assert torch.equal(mine.logp_image, theirs.logp_image)
    with found.reference():
        assert torch.equal(
            score_pairs(found, pictures(1), PAIRS).logp_image,
            score_pairs(load_tiny(tiny_checkpoint, None), pictures(1), PAIRS).logp_image,
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


def name_base(folder: Path, name: str) -> None:
    """As other tools leave it: a name in peft's file, and nothing beside it."""
    change(folder, base_model_name_or_path=name)
    (folder / "base.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "lora", "said"),
    [
        (lambda folder: None, SMALL_LORA, "adapter already: set lora: null"),
        (lambda folder: change(folder, base_model_name_or_path=None), None, "names no base_model_name_or_path"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), None, "names no base_model_name_or_path"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), None, "has no adapter_model.safetensors"),
        (lambda folder: name_base(folder, "no/such/place"), None, "no/such/place"),
        (lambda folder: change(folder, r=3), None, "does not fit its base"),
        (lambda folder: change(folder, peft_type="NONE_SUCH"), None, "does not fit its base: KeyError: 'NONE_SUCH'"),
        (lambda folder: (folder / "adapter_model.safetensors").write_text("version https://git-lfs"), None, "Git LFS"),
        (lambda folder: change(folder, target_modules=["no_such_layer"]), None, "does not fit its base"),
        (lambda folder: change(folder, target_modules=["q_proj", "fc1"]), None, "does not fit its base"),
    ],
)
def test_what_cannot_be_used_is_refused(adapter, spoil, lora, said, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    spoil(adapter)
    with pytest.raises(LVLMError, match=said):
        HuggingFaceLVLM(str(adapter), lora=lora)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "by name alone"])
def test_a_base_named_relative_to_another_folder_is_found(  # type: ignore[no-untyped-def]
    tiny_checkpoint, tmp_path, monkeypatch, recorded
) -> None:
    """The project is moved, and used from elsewhere."""
    (tmp_path / "before").mkdir()
    shutil.copytree(tiny_checkpoint, tmp_path / "before" / "models" / "base")
    monkeypatch.chdir(tmp_path / "before")
    lvlm = load_tiny(Path("models/base"))
    lvlm.save(Path("runs/adapter"))
    wanted = score_pairs(lvlm, pictures(1), PAIRS).logp_image
    if not recorded:
        name_base(Path("runs/adapter"), "models/base")
    (tmp_path / "before").rename(tmp_path / "after")
    monkeypatch.chdir(tmp_path)
    adapter = tmp_path / "after" / "runs" / "adapter"
    assert adapter_base(str(adapter)) == str(tmp_path / "after" / "models" / "base")
    found = HuggingFaceLVLM(str(adapter), lora=None)
    assert torch.equal(score_pairs(found, pictures(1), PAIRS).logp_image, wanted)
    if recorded:
        # another base under the same name does not take its place
        build_lookalike(tiny_checkpoint, tmp_path / "models" / "base")
        assert adapter_base(str(adapter)) == str(tmp_path / "after" / "models" / "base")


def test_an_adapter_that_is_moved_alone_finds_its_base(tiny_checkpoint, tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tiny_checkpoint.parent)
    load_tiny(Path(tiny_checkpoint.name)).save(tmp_path / "run" / "adapter")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "adapter").rename(tmp_path / "elsewhere" / "adapter")
    monkeypatch.chdir(tmp_path)
    # peft's own loaders go by this name alone
    config = json.loads((tmp_path / "elsewhere" / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_checkpoint)
    assert adapter_base(str(tmp_path / "elsewhere" / "adapter")) == str(tiny_checkpoint)


def test_weights_that_were_replaced_are_no_longer_the_base(tiny_checkpoint, tmp_path) -> None:  # type: ignore[no-untyped-def]
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    shutil.copytree(tiny_checkpoint, base)
    load_tiny(base).save(adapter)
    shutil.rmtree(base)
    build_lookalike(tiny_checkpoint, base)
    with pytest.raises(LVLMError, match=f"was trained on {base} with fingerprint .*but {base} has fingerprint"):
        HuggingFaceLVLM(str(adapter), lora=None)


def test_the_shipped_base_goes_by_its_name(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Where the package lies differs from one machine to the next."""
    HuggingFaceLVLM("shipped:scenes", SMALL_LORA).save(tmp_path)
    change(tmp_path, base_model_name_or_path="/another/machine/lightning_c3l/scenes/base")
    assert json.loads((tmp_path / "base.json").read_text())["name"] == "shipped:scenes"
    assert HuggingFaceLVLM(str(tmp_path), lora=None).saved_as == "adapter"


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 64, None], ids=["empty", "text", "ones", "cut"])
def test_weight_files_that_are_none_are_named(tiny_checkpoint, adapter, tmp_path, content) -> None:  # type: ignore[no-untyped-def]
    shutil.copytree(tiny_checkpoint, tmp_path / "base")
    for folder, name in ((tmp_path / "base", "model.safetensors"), (adapter, "adapter_model.safetensors")):
        file = folder / name
        file.write_bytes(file.read_bytes()[:-5] if content is None else content)
        with pytest.raises(LVLMError, match=f"{file}: not a whole safetensors file") as caught:
            HuggingFaceLVLM(str(folder), lora=None)
        assert "\n" not in str(caught.value)


def test_a_model_that_leaves_its_head_to_its_decoder_is_merged(tmp_path: Path) -> None:
    """Nemotron 3 Omni names no output embedding itself."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    family("nemotron-omni").build(base)
    lvlm = HuggingFaceLVLM(str(base), lora=SMALL_LORA)
    awaken_adapter(lvlm)
    lvlm.save(adapter)
    merged, _ = merge_adapter(str(base), adapter)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(merged(input_ids=ids).logits, lvlm.model(input_ids=ids).logits, atol=1e-3, rtol=1e-3)
