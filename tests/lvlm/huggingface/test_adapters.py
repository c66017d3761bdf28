"""Which layers are trained, and the starting model beside the trained one."""

import re
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration

from lightning_c3l.lvlm.base import LVLMError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.adapters import adapted_outside_decoder, target_pattern
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.tiny import awaken_adapter, generate_texts, load_tiny, model_inputs, pictures

PAIRS = [[("What color are the rings?", "red"), ("Where are the crosses?", "top left corner")]]


def logits(lvlm: HuggingFaceLVLM) -> Tensor:
    inputs = model_inputs(lvlm.processor, [("user", "Where?"), ("assistant", "top left")], pictures(1)[0])
    with torch.no_grad():
        return lvlm.model(**inputs).logits  # type: ignore[no-any-return]


def starting_logits(folder: Path) -> Tensor:
    """Of the checkpoint alone, as transformers loads it."""
    lvlm = HuggingFaceLVLM(str(folder), lora=None, keep_reference=False)
    inputs = model_inputs(lvlm.processor, [("user", "Where?"), ("assistant", "top left")], pictures(1)[0])
    model = LlavaForConditionalGeneration.from_pretrained(folder).eval()
    with torch.no_grad():
        return model(**inputs).logits  # type: ignore[no-any-return]


def disturb(lvlm: HuggingFaceLVLM) -> None:
    """What training would do to a model without adapters."""
    with torch.no_grad():
        for parameter in lvlm.network.parameters():
            parameter.mul_(1.1)


def test_adapted_layers_are_the_decoders_linears(tiny_checkpoint: Path) -> None:
    trained = [n for n, p in load_tiny(tiny_checkpoint).network.named_parameters() if p.requires_grad]
    layers = {name.split(".lora_")[0] for name in trained}
    wanted = {
        f"base_model.model.model.language_model.layers.{n}.{part}"
        for n in range(2)
        for part in (
            *(f"self_attn.{x}_proj" for x in "qkvo"),
            *(f"mlp.{x}_proj" for x in ("gate", "up", "down")),
        )
    }
    assert layers == wanted
    assert len(trained) == 2 * len(wanted)


def test_vision_takes_the_tower_and_the_projector_too_but_not_the_head(tiny_checkpoint: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint, LoRA(rank=2, vision=True))
    adapted = {n.split(".lora_")[0] for n, p in lvlm.network.named_parameters() if p.requires_grad}
    model = LlavaForConditionalGeneration.from_pretrained(tiny_checkpoint)
    linears = {f"base_model.model.{n}" for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    assert adapted == linears - {"base_model.model.lm_head"}
    assert any("vision_tower" in name for name in adapted)
    assert any("multi_modal_projector" in name for name in adapted)


class Nested(nn.Module):
    """Some models keep the head inside the decoder."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.decoder = nn.ModuleDict({name: nn.Linear(1, 1) for name in (*names, "head")})
        self.tower = nn.Linear(1, 1)

    def get_decoder(self) -> nn.Module:
        return self.decoder

    def get_output_embeddings(self) -> nn.Module:
        return self.decoder["head"]


@pytest.mark.parametrize("vision", [False, True])
def test_a_nested_head_is_left_out(vision: bool) -> None:
    pattern = target_pattern(Nested("query", "key"), vision)
    adapted = {name for name, _ in Nested("query", "key").named_modules() if re.fullmatch(pattern, name)}
    assert adapted == {"decoder.query", "decoder.key"} | ({"tower"} if vision else set())


def test_a_decoder_without_linears_is_refused() -> None:
    with pytest.raises(LVLMError, match="Nested: no linear layer"):
        target_pattern(Nested(), vision=False)


def test_fresh_adapters_change_nothing_and_awake_ones_do(tiny_checkpoint: Path) -> None:
    start = starting_logits(tiny_checkpoint)
    lvlm = load_tiny(tiny_checkpoint, awake=False)
    torch.testing.assert_close(logits(lvlm), start, atol=1e-6, rtol=1e-6)
    awaken_adapter(lvlm)
    assert float((logits(lvlm) - start).abs().max()) > 0.1


def test_adapters_depend_on_the_seed_alone(tiny_checkpoint: Path) -> None:
    def adapter(draws: int, seed: int) -> Tensor:
        torch.manual_seed(seed)
        torch.rand(draws)
        state = load_tiny(tiny_checkpoint, awake=False).network.state_dict()
        return next(value for name, value in state.items() if "lora_A" in name)

    assert torch.equal(adapter(0, 1), adapter(7, 1))
    assert not torch.equal(adapter(0, 1), adapter(0, 2))


@pytest.mark.parametrize("lora", [LoRA(rank=2), None], ids=["lora", "full"])
def test_reference_is_the_starting_model(tiny_checkpoint: Path, lora: LoRA | None) -> None:
    start = starting_logits(tiny_checkpoint)
    lvlm = load_tiny(tiny_checkpoint, lora)
    if lora is None:
        disturb(lvlm)
    trained = logits(lvlm)
    assert float((trained - start).abs().max()) > 0.1
    with lvlm.reference():
        torch.testing.assert_close(logits(lvlm), start, atol=1e-6, rtol=1e-6)
        with lvlm.reference():
            pass
        torch.testing.assert_close(logits(lvlm), start, atol=1e-6, rtol=1e-6)
        written = generate_texts(lvlm, pictures(1), ["Where?"], Sampling(1, 8, 0.0), 0)
    assert torch.equal(logits(lvlm), trained)
    assert generate_texts(lvlm, pictures(1), ["Where?"], Sampling(1, 8, 0.0), 0) != written


@pytest.mark.parametrize("lora", [LoRA(rank=2), None], ids=["lora", "full"])
def test_an_error_inside_the_reference_does_not_keep_it_on(tiny_checkpoint: Path, lora: LoRA | None) -> None:
    lvlm = load_tiny(tiny_checkpoint, lora)
    if lora is None:
        disturb(lvlm)
    trained = logits(lvlm)
    with pytest.raises(KeyboardInterrupt), lvlm.reference():
        raise KeyboardInterrupt
    assert torch.equal(logits(lvlm), trained)


def test_reference_leaves_what_is_trained_trainable(tiny_checkpoint: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint)
    before = {n for n, p in lvlm.network.named_parameters() if p.requires_grad}
    with lvlm.reference():
        pass
    assert {n for n, p in lvlm.network.named_parameters() if p.requires_grad} == before != set()


def test_full_fine_tuning_trains_all_and_its_copy_nothing(tiny_checkpoint: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint, None)
    assert all(p.requires_grad for p in lvlm.network.parameters())
    with lvlm.reference():
        assert not any(p.requires_grad for p in lvlm.model.parameters())
        assert not lvlm.model.training


def test_full_fine_tuning_without_a_copy_has_no_reference(tiny_checkpoint: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint, None, keep_reference=False)
    with pytest.raises(LVLMError, match="keep_reference") as caught, lvlm.reference():
        pytest.fail("there is no reference to use")
    assert "\n" not in str(caught.value)


def test_saved_adapter_loads_with_peft_alone(tiny_checkpoint: Path, tmp_path: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint)
    lvlm.save(tmp_path)
    assert lvlm.saved_as == "adapter"
    base = LlavaForConditionalGeneration.from_pretrained(tiny_checkpoint)
    other = load_tiny(tiny_checkpoint, None)
    other._network = PeftModel.from_pretrained(base, str(tmp_path)).eval()
    mine, theirs = (score_pairs(one, pictures(1), PAIRS) for one in (lvlm, other))
    torch.testing.assert_close(theirs.logp_image, mine.logp_image, atol=1e-5, rtol=1e-5)
    plain = score_pairs(load_tiny(tiny_checkpoint, None), pictures(1), PAIRS)
    assert float((plain.logp_image - mine.logp_image).abs().max()) > 0.1
    assert sum(file.stat().st_size for file in tmp_path.glob("*.safetensors")) < 200_000


def test_saved_full_model_is_a_checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint, None)
    disturb(lvlm)
    lvlm.save(tmp_path)
    assert lvlm.saved_as == "model"
    again = HuggingFaceLVLM(str(tmp_path), lora=None)
    torch.testing.assert_close(logits(again), logits(lvlm), atol=1e-6, rtol=1e-6)
    assert again.fingerprint != lvlm.fingerprint


def test_fresh_is_the_lvlm_before_training(tiny_checkpoint: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint, LoRA(rank=3, alpha=5))
    fresh = lvlm.fresh()
    torch.testing.assert_close(logits(fresh), starting_logits(tiny_checkpoint), atol=1e-6, rtol=1e-6)
    shapes = [{n: p.shape for n, p in one.network.named_parameters()} for one in (fresh, lvlm)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("wrong", [{"rank": 0}, {"alpha": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_impossible_adapters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=rf"^lora\.{next(iter(wrong))} must "):
        LoRA(**wrong)  # type: ignore[arg-type]


def test_adapters_outside_of_the_decoder_are_named(tiny_checkpoint: Path) -> None:
    assert load_tiny(tiny_checkpoint).adapted_outside_decoder() == []
    assert load_tiny(tiny_checkpoint, None).adapted_outside_decoder() == []
    outside = load_tiny(tiny_checkpoint, LoRA(rank=2, alpha=4, vision=True)).adapted_outside_decoder()
    assert any("vision" in name for name in outside)
    assert any("projector" in name for name in outside)
    assert not any("language_model" in name for name in outside)
    model = LlavaForConditionalGeneration.from_pretrained(tiny_checkpoint)
    get_peft_model(model, LoraConfig(r=2, target_modules=["lm_head", "q_proj"], exclude_modules=".*vision.*"))
    assert adapted_outside_decoder(model) == ["lm_head"]
