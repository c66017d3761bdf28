"""Which way a model is run: models that do something else than one of them are found out before it is used."""

from functools import wraps
from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_c3l.lvlm.base import LVLMError, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, path_check, path_choice
from lightning_c3l.lvlm.huggingface.output_head import OutputHead
from lightning_c3l.lvlm.huggingface.path_check import choose_path, choose_training_path
from lightning_c3l.lvlm.huggingface.path_choice import PathChoice
from lightning_c3l.lvlm.huggingface.probe import PlainForwards
from lightning_c3l.rounds.scoring import score_pairs
from tests.helpers.tiny import SMALL_LORA, generate_texts, load_tiny, pictures


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices of other tests of this process are forgotten."""
    monkeypatch.setattr(path_choice, "_CHOSEN", {})


@pytest.fixture
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return HuggingFaceLVLM(str(tiny_checkpoint), lora=SMALL_LORA)


def choose(lvlm: HuggingFaceLVLM, option: Any = "auto") -> PathChoice:
    return choose_path(lvlm.model, lvlm.encoder, option)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_rounding_is_no_disagreement(tiny_checkpoint: Path, dtype: Any) -> None:
    lvlm = HuggingFaceLVLM(str(tiny_checkpoint), lora=SMALL_LORA, dtype=dtype)
    assert (lvlm.inference_path.name, lvlm.inference_path.reason) == ("fast", "")
    assert (lvlm.training_path.name, lvlm.training_path.reason) == ("fast", "")
    assert len(generate_texts(lvlm, pictures(1), ["Where?"], Sampling(1, 2), 0)) == 1


@pytest.mark.parametrize(("with_image", "what"), [(True, "with images"), (False, "without an image")])
def test_logits_that_the_fast_path_does_not_compute(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch, with_image: bool, what: str
) -> None:
    """As if the model scaled what its head says, with an image or without one alone: its own forward is run."""
    plain = lvlm.model.forward

    @wraps(plain)
    def scaled(*args: Any, **options: Any) -> Any:
        out = plain(*args, **options)
        if ("pixel_values" in options) == with_image:
            out.logits = 0.8 * out.logits
        return out

    expected = score_pairs(lvlm, pictures(1), [[("Where?", "here")]])
    monkeypatch.setattr(lvlm.model, "forward", scaled)
    choice = choose(lvlm)
    assert choice.name == "plain"
    assert choice.reason == (f"not fast: logits {what} differ by 0.25; not cached: logits {what} differ by 0.25")
    with pytest.raises(LVLMError, match=f"cannot be used: not fast: logits {what} differ by 0.25$"):
        choose(lvlm, "fast")
    lvlm._inference_path = choice
    found = score_pairs(lvlm, pictures(1), [[("Where?", "here")]])
    assert torch.equal(found.logp_image, expected.logp_image) != with_image
    assert torch.equal(found.logp_blind, expected.logp_blind) == with_image


def test_rows_that_depend_on_others_run_one_by_one(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = lvlm.model.forward

    @wraps(plain)
    def crowded(*args: Any, **options: Any) -> Any:
        out = plain(*args, **options)
        out.logits = out.logits * len(options["input_ids"])
        return out

    monkeypatch.setattr(lvlm.model, "forward", crowded)
    # the paths that do not call the forward of the whole model would not notice
    with pytest.raises(LVLMError, match="cannot be used: not plain: logits with images differ by "):
        choose(lvlm, "plain")
    assert choose(lvlm, "one_by_one").name == "one_by_one"


def test_a_model_that_cannot_run_is_not_blamed_on_images(
    lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **options: Any) -> Any:
        raise TypeError("unexpected input\nmore of it")

    monkeypatch.setattr(lvlm.model, "forward", broken)
    with pytest.raises(LVLMError, match="cannot be run: TypeError: unexpected input") as caught:
        lvlm.unsupported_images(pictures(1))
    assert type(caught.value) is LVLMError


def test_completions_are_compared(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if generation saw every token but the newest one."""
    original = path_check.FastPath.generate

    def shifted(self: Any, *args: Any, **options: Any) -> Any:
        return [[tuple(reversed(one)) for one in own] for own in original(self, *args, **options)]

    monkeypatch.setattr(path_check.FastPath, "generate", shifted)
    choice = choose(lvlm)
    assert (choice.name, choice.copies) == ("plain", True)
    assert "not fast: completions differ with an image" in choice.reason


def test_training_is_checked_apart(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values agree, and gradients do not."""
    choice, run = choose(lvlm), path_check.FastPath.run_groups

    def steeper(self: Any, batch: Any) -> Any:
        forward = run(self, batch)
        logp = forward.logp
        return path_check.replace(forward, logp=2 * logp - logp.detach())

    monkeypatch.setattr(path_check.FastPath, "run_groups", steeper)
    found = choose_training_path(lvlm.network, lvlm.model, lvlm.encoder, choice)
    assert found.name == "plain"
    assert found.reason.startswith("not fast: gradients of training differ by ")


def test_layers_that_carry_a_state_are_not_masked(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lvlm.model.config.text_config, "layer_types", ["full_attention", "mamba"], raising=False)
    names = [one.name for one in path_check._candidates(PlainForwards(lvlm.model, lvlm.encoder), "auto")]
    assert names == ["cached", "plain", "one_by_one"]


def test_an_encoder_decoder_is_refused(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lvlm.model.config, "is_encoder_decoder", True)
    with pytest.raises(LVLMError, match="reads prompts with an encoder"):
        choose(lvlm)


def test_the_check_runs_once_and_leaves_the_modes_alone(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lvlm = HuggingFaceLVLM(str(tiny_checkpoint), lora=SMALL_LORA)
    lvlm.network.train()
    lvlm.model.get_decoder().layers[0].eval()
    before = [part.training for part in lvlm.network.modules()]
    runs, plain = list[object](), lvlm.model.forward
    monkeypatch.setattr(lvlm.model, "forward", wraps(plain)(lambda **x: (runs.append(None), plain(**x))[1]))
    lvlm.prepare_training()
    count = len(runs)
    assert count > 0
    lvlm.prepare_training()
    again = load_tiny(tiny_checkpoint, awake=False)
    again.prepare_training()
    assert len(runs) == count
    assert [part.training for part in lvlm.network.modules()] == before
    assert all(parameter.grad is None for parameter in lvlm.network.parameters())


@pytest.mark.parametrize("option", ["fast", "cached", "plain", "one_by_one"])
def test_every_path_gives_the_same_scores_and_texts(tiny_checkpoint: Path, option: Any) -> None:
    lvlm, expected = (load_tiny(tiny_checkpoint, path_choice=one) for one in (option, "fast"))
    assert lvlm.inference_path.name == option
    assert lvlm.training_path.name == option
    pairs = [[("Where?", "here"), ("What color are the rings?", "red and blue")], [("Where?", "top left")]]
    one, two = (score_pairs(which, pictures(2), pairs) for which in (lvlm, expected))
    for name in ("logp_image", "logp_blind", "kl"):
        torch.testing.assert_close(getattr(one, name), getattr(two, name), atol=1e-4, rtol=1e-4)
    sampling = Sampling(samples=3, max_new_tokens=8, temperature=1.0)
    texts = [generate_texts(which, pictures(2), ["Where?", "Describe it."], sampling, 3) for which in (lvlm, expected)]
    assert texts[0] == texts[1]
    assert len({text for own in texts[0] for text in own}) > 2


def test_what_a_model_does_to_its_logits_is_measured() -> None:
    raw = torch.randn(5, 7) * 4
    config = type("Config", (), {"logit_scale": 0.25, "final_logit_softcapping": 3.0})
    head = OutputHead
    assert head.fit(config, raw, raw) == head(1.0, None)
    assert head.fit(config, raw, 0.25 * raw) == head(0.25, None)
    assert head.fit(config, raw, 3 * torch.tanh(raw / 3)) == head(1.0, 3.0)
    assert head.fit(config, raw, 3 * torch.tanh(raw / 12)) == head(0.25, 3.0)
    assert head.fit(type("Granite", (), {"logits_scaling": 8.0}), raw, raw / 8) == head(0.125, None)
