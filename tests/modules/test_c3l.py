"""The training module: its options, and its loss by hand from one plain forward a sequence."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_c3l.lvlm.base import GroupSample, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from lightning_c3l.modules.optimization import OptimizerConfig
from lightning_c3l.records import Candidate, Instruction
from lightning_c3l.rounds.generation import GenerationConfig, ImageChunk
from lightning_c3l.rounds.run import engine_of
from tests.helpers.tiny import load_tiny, pictures, plain

# a module that no Trainer holds warns when it logs
pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")

WRITTEN = ("Question: What color are the rings?\nAnswer: red", "Question: Where?\nAnswer: top left", "rings")


def samples() -> list[GroupSample]:
    one, other = pictures(2)
    return [
        GroupSample(one, "Write a color question.", WRITTEN, "What color are the rings?", "red", weight=0.5),
        GroupSample(other, "Write a number question.", WRITTEN[1::-1], "Where?", "top left", weight=1.5),
    ]


def module_of(folder: Path, **loss: Any) -> C3LModule:
    torch.manual_seed(3)
    return C3LModule(load_tiny(folder), loss=LossConfig(**loss), optimization=OptimizerConfig(learning_rate=1e-2))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"contrastive_weight": -0.1}, "contrastive_weight must be at least 0, not -0.1"),
        ({"nll_weight": -1.0}, "nll_weight must be at least 0, not -1.0"),
        ({"contrastive_weight": 0.0, "nll_weight": 0.0}, "nothing would be trained"),
        ({"anchor": "caption"}, "loss.anchor must be one of prompt, image, instruction, description, not 'caption'"),
        ({"context": "blind"}, "loss.context must be one of image, text, not 'blind'"),
    ],
)
def test_losses_that_cannot_train_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LossConfig(**wrong)


def test_contrast_alone_warns(recwarn: pytest.WarningsRecorder) -> None:
    LossConfig(nll_weight=0.5)
    assert not recwarn.list
    LossConfig(nll_weight=0.0)
    assert ["destroy the writer" in str(warning.message) for warning in recwarn.list] == [True]


def represent(head: nn.Linear, hidden: Tensor) -> Tensor:
    return torch.stack([torch.clamp(head.weight @ h + head.bias, min=0) for h in hidden]).mean(0)


def cosine(one: Tensor, other: Tensor) -> float:
    return float((one @ other) / (one.norm() * other.norm()))


def by_hand(module: C3LModule, cross_group: bool) -> float:
    """L of `samples()` from its formula, temperature 0.5, lambda 0.7, nll_weight 2."""
    lvlm, head = module.lvlm, module.contrastive.projection
    groups = samples()
    anchors, texts, likelihood = [], [], 0.0
    for sample in groups:
        rows = [plain(lvlm, sample.instruction, text, sample.image) for text in sample.texts]
        anchors.append(represent(head, rows[0].hidden[: rows[0].start]))
        texts.append([represent(head, row.hidden[row.start : row.end]) for row in rows])
        answer = plain(lvlm, sample.question, sample.answer, sample.image)
        likelihood += sample.weight * (0.5 * float(rows[0].loss) + 0.5 * float(answer.loss)) / len(groups)
    contrast = 0.0
    for anchor, own in zip(anchors, texts, strict=True):
        others = [text for all_of in texts for text in all_of] if cross_group else own
        parts = [math.exp(cosine(anchor, text) / 0.5) for text in others]
        contrast += -math.log(math.exp(cosine(anchor, own[0]) / 0.5) / sum(parts)) / len(groups)
    return 2.0 * likelihood + 0.7 * contrast


@pytest.mark.parametrize("cross_group", [False, True])
def test_the_loss_is_its_formula(tiny_checkpoint: Path, cross_group: bool) -> None:
    module = module_of(
        tiny_checkpoint,
        form="representation",
        contrastive_weight=0.7,
        nll_weight=2.0,
        temperature=0.5,
        cross_group=cross_group,
        token_weights="none",
    )
    with torch.no_grad():
        loss = module.training_step(module.encode(samples()), 0)
        assert float(loss) == pytest.approx(by_hand(module, cross_group), rel=1e-4)


def test_likelihood_alone_is_the_loss_of_transformers(tiny_checkpoint: Path) -> None:
    module = module_of(tiny_checkpoint, contrastive_weight=0.0, token_weights="none")
    expected = 0.0
    for sample in samples():
        write = plain(module.lvlm, sample.instruction, sample.texts[0], sample.image).loss
        answer = plain(module.lvlm, sample.question, sample.answer, sample.image).loss
        expected += sample.weight * float(write + answer) / 4
    assert float(module.training_step(module.encode(samples()), 0)) == pytest.approx(expected, rel=1e-4)


def stepped(module: C3LModule) -> set[str]:
    """Names of what one step of training changes."""
    before = {name: value.clone() for name, value in module.state_dict().items()}
    configured: Any = module.optimization.configure(module.parameters(), lambda: 10)
    module.training_step(module.encode(samples()), 0).backward()  # type: ignore[no-untyped-call]
    configured["optimizer"].step()
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


def test_a_step_changes_adapters_and_head_alone(tiny_checkpoint: Path) -> None:
    module = module_of(tiny_checkpoint, form="representation")
    adapters = {name for name in module.state_dict() if ".lora_" in name}
    assert len(adapters) == 28
    assert stepped(module) == adapters | {"contrastive.projection.weight", "contrastive.projection.bias"}


def test_without_contrast_head_and_negatives_stay_out(tiny_checkpoint: Path) -> None:
    module = module_of(tiny_checkpoint, contrastive_weight=0.0)
    batch = module.encode(samples())
    assert sorted(batch.suffixes.role.tolist()) == [-1, -1, 0, 0]
    with_it = module_of(tiny_checkpoint).encode(samples())
    assert sorted(with_it.suffixes.role.tolist()) == [-1, -1, 0, 0, 1, 1, 2]
    changed = stepped(module)
    assert changed
    assert all(".lora_" in name for name in changed)


@pytest.mark.parametrize(("anchor", "context"), [("instruction", "text"), ("description", "image")])
def test_other_anchors_train(tiny_checkpoint: Path, anchor: Any, context: Any) -> None:
    module = module_of(tiny_checkpoint, form="representation", anchor=anchor, context=context)
    batch = module.encode([replace(sample, description="two red rings") for sample in samples()])
    loss = module.training_step(batch, 0)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for p in module.parameters() if p.requires_grad]
    assert all(g is not None and bool(g.isfinite().all()) for g in gradients)
    standard = module_of(tiny_checkpoint, form="representation")
    assert float(loss) != pytest.approx(float(standard.training_step(standard.encode(samples()), 0)), rel=1e-5)


def test_using_the_model_outside_of_steps_gives_every_mode_back(tiny_checkpoint: Path) -> None:
    module = module_of(tiny_checkpoint)
    module.contrastive.eval()

    def interrupted() -> None:
        with module.inference_context():
            assert not module.training
            assert not module.network.training
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert module.training
    assert module.network.training
    assert not module.contrastive.training


def test_it_writes_scores_and_answers_in_eval_mode(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of(tiny_checkpoint)
    module.writing = GenerationConfig("scenes", 1, Sampling(2, 6), batch_size=2, score_batch_size=1)
    seen = list[bool]()
    for name in ("generate", "score"):
        original = getattr(HuggingFaceLVLM, name)

        def watched(self: Any, *args: Any, _original: Any = original, **options: Any) -> Any:
            seen.append(self.network.training)
            return _original(self, *args, **options)

        monkeypatch.setattr(HuggingFaceLVLM, name, watched)
    read = dict(zip("ab", pictures(2), strict=True)).__getitem__
    engine = engine_of(module)
    written = engine.generate(ImageChunk("ab", read), seed=0)
    assert [(one.image, one.sample) for one in written] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    engine.score([_pair("a", "red"), _pair("b", "blue")], read, 0)
    assert len(engine.answers("ab", ["Where?", "Where?"], read, Sampling(1, 4, 0.0))) == 2
    assert seen == [False] * 4  # one batch written, two images scored, one batch answered
    assert module.network.training


def _pair(image: str, answer: str) -> Candidate:
    return Candidate(image, Instruction("color", "Write."), 0, "", "What color are the rings?", answer)


def test_the_reference_scores_with_the_starting_model(tiny_checkpoint: Path) -> None:
    module, base = module_of(tiny_checkpoint), C3LModule(load_tiny(tiny_checkpoint, awake=False))
    read = dict(zip("ab", pictures(2), strict=True)).__getitem__
    pairs = [_pair("a", "red"), _pair("b", "blue")]
    reference, current, start = (
        [one.scores.mean_logp for one in engine_of(m).score(pairs, read, 0, scorer) if one.scores]  # type: ignore[arg-type]
        for m, scorer in ((module, "reference"), (module, "current"), (base, "current"))
    )
    assert reference == pytest.approx(start, abs=1e-5)
    assert current != pytest.approx(start, abs=1e-2)


def gradients(module: C3LModule) -> dict[str, Tensor]:
    return {name: p.grad for name, p in module.named_parameters() if p.grad is not None}


def test_gradient_checkpointing_trains_the_same_adapters(tiny_checkpoint: Path) -> None:
    """Layers run again in the backward pass, and every adapter still gets its gradient."""
    found, runs = list[dict[str, Tensor]](), list[int]()
    for checkpointing in (False, True):
        torch.manual_seed(3)
        module = C3LModule(load_tiny(tiny_checkpoint, gradient_checkpointing=checkpointing))
        count = [0]
        # before, not after: what is run again stops as soon as it has what the backward pass needs
        layer = module.lvlm.model.get_decoder().layers[0].self_attn
        layer.register_forward_pre_hook(lambda *_, count=count: count.__setitem__(0, count[0] + 1))
        loss = module.training_step(module.encode(samples()), 0)
        before = count[0]
        loss.backward()  # type: ignore[no-untyped-call]
        runs.append(count[0] - before)
        found.append(gradients(module))
    assert runs[0] == 0
    assert runs[1] > 0
    plain_ones, checkpointed = found
    trained = {name for name, p in module.named_parameters() if p.requires_grad}
    assert plain_ones.keys() == checkpointed.keys() == trained
    for name, gradient in plain_ones.items():
        assert float((checkpointed[name] - gradient).norm()) <= 1e-4 * float(gradient.norm()) + 1e-9, name


def test_accumulated_gradients_are_those_of_one_batch(tiny_checkpoint: Path) -> None:
    """Two halves whose losses count half, as Lightning's `accumulate_grad_batches` runs them."""
    whole, halves = module_of(tiny_checkpoint), module_of(tiny_checkpoint)
    whole.training_step(whole.encode(samples()), 0).backward()  # type: ignore[no-untyped-call]
    for number, sample in enumerate(samples()):
        (halves.training_step(halves.encode([sample]), number) / 2).backward()  # type: ignore[no-untyped-call]
    expected = gradients(whole)
    for name, gradient in gradients(halves).items():
        torch.testing.assert_close(gradient, expected[name], atol=1e-5, rtol=1e-3)


def test_mixed_precision_holds_for_rounds_too(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Generation and scoring run outside of Lightning's steps; they must not fall back to float32."""
    from lightning import Trainer

    module, seen = module_of(tiny_checkpoint), list[torch.dtype]()
    linear = module.lvlm.model.get_decoder().layers[0].mlp.gate_proj
    linear.register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    read = dict(zip("ab", pictures(2), strict=True)).__getitem__
    module.trainer = Trainer(accelerator="cpu", precision="bf16-mixed", logger=False, enable_checkpointing=False)
    engine_of(module).generate(ImageChunk("ab", read), seed=0)
    engine_of(module).score([_pair("a", "red"), _pair("b", "blue")], read, 0)
    assert set(seen) == {torch.bfloat16}


def test_quantised_weights_need_cuda_and_adapters(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lightning_c3l.lvlm.base import LVLMError

    with pytest.raises(LVLMError, match="cannot be trained; set lora"):
        HuggingFaceLVLM(str(tiny_checkpoint), lora=None, quantize="nf4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(LVLMError, match="quantize: nf4 needs a CUDA GPU"):
        load_tiny(tiny_checkpoint, quantize="nf4")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("lightning_c3l.lvlm.huggingface.loading.find_spec", lambda name: None)
    with pytest.raises(LVLMError, match=r"pip install .*\[qlora\]'"):
        load_tiny(tiny_checkpoint, quantize="nf4")


def test_a_data_set_has_what_generating_at_once_gives(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """In parts, kinds are balanced over all images, and each prompt has its own draws."""
    module = module_of(tiny_checkpoint)
    module.writing = GenerationConfig("scenes", 1, Sampling(2, 6, 1.0), batch_size=1, score_batch_size=1)
    keys, seed = [str(number) for number in range(7)], 15_485_863
    images = ImageChunk(keys, dict(zip(keys, pictures(7), strict=True)).__getitem__)
    whole = engine_of(module).generate(images, seed)
    assert len({one.instruction for one in whole}) == 4
    final = engine_of(module).final_records(tmp_path, images, seed)
    assert [one.candidate for one in final] == whole
    assert any(one.scores is not None for one in final) == any(not one.rejected for one in whole)


def test_rounds_run_on_the_trainers_device(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning moves the module to the CPU before `on_fit_end`, where the data set is written."""
    module, moved = module_of(tiny_checkpoint), list[Any]()
    monkeypatch.setattr(module, "to", moved.append)
    precision = SimpleNamespace(forward_context=lambda: torch.inference_mode())
    module._trainer = SimpleNamespace(strategy=SimpleNamespace(root_device="there"), precision_plugin=precision)  # type: ignore[assignment]
    with module.inference_context():
        assert moved == ["there"]
        assert torch.is_inference_mode_enabled()
        assert not module.network.training
    assert module.network.training


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_half_precisions_take_the_batches(tiny_checkpoint: Path, precision: Any) -> None:
    from lightning.pytorch.plugins.precision import HalfPrecision

    module = module_of(tiny_checkpoint, form="representation", anchor="instruction", context="text")
    batch = HalfPrecision(precision).convert_input(module.encode(samples()))
    half = torch.bfloat16 if precision == "bf16-true" else torch.float16
    assert batch.prefixes["pixel_values"].dtype == batch.weights.dtype == half
    assert batch.suffixes.ids.dtype == batch.without_image.ids.dtype == torch.long
    assert batch.suffixes.mask.dtype == torch.bool


def test_memory_that_ran_out_once_is_remembered_for_the_run(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, sizes = module_of(tiny_checkpoint), list[int]()
    module.writing = GenerationConfig("scenes", 1, Sampling(1, 2), batch_size=8)
    read = dict(zip("abcd", pictures(4), strict=True)).__getitem__

    def narrow(requests: Any, sampling: Sampling, size: int, *_: Any) -> list[list[str]]:
        sizes.append(size)
        if size > 2:
            raise torch.OutOfMemoryError("full")
        return [["no label"]] * len(requests)

    monkeypatch.setattr(module.lvlm, "generate", narrow)
    engine = engine_of(module)
    with pytest.warns(UserWarning, match=r"writing\.batch_size: 2"):
        engine.generate(ImageChunk("ab", read), 0)
    engine.generate(ImageChunk("cd", read), 0)
    assert sizes == [8, 4, 2, 2]
