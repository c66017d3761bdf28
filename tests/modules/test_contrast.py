"""Each form of the loss, value and gradient, from its formula on one plain forward a sequence."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_c3l.lvlm.base import GroupExtras, GroupSample, LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.fast_path import FastPath
from lightning_c3l.modules.c3l import C3LModule, LossConfig
from tests.helpers.tiny import Plain, load_tiny, model_inputs, pictures, plain

# a module that no Trainer holds warns when it logs
pytestmark = pytest.mark.filterwarnings("ignore:You are trying to `self.log")

ASKED = "Question: What color are the rings?\nAnswer: red"
# one goes on where the positive ends, one parts in the middle, one at once
TEXTS = (ASKED, f"{ASKED} and blue", "Question: Where?\nAnswer: top left", "rings")


def samples() -> list[GroupSample]:
    one, other, third = pictures(3)
    return [
        GroupSample(one, "Write a color question.", TEXTS, "What color are the rings?", "red", weight=0.5),
        GroupSample(other, "Write a number question.", TEXTS[2::-1], "Where?", "top left", weight=1.5),
        GroupSample(third, "Write a question.", TEXTS[:1], "What color are the rings?", "red"),
    ]


def smaller(lvlm: HuggingFaceLVLM) -> HuggingFaceLVLM:
    """The tiny LLaVA's weights are so large that the rounding of float32 moves its gradient by 1e-4."""
    with torch.no_grad():
        for name, parameter in lvlm.network.named_parameters():
            if parameter.ndim > 1 and "lora_" not in name:
                parameter.mul_(0.3)
    return lvlm


@pytest.fixture(scope="module")
def lvlms(tiny_checkpoint: Path) -> dict[str, HuggingFaceLVLM]:
    """The LVLM that is trained, on two paths and with checkpointing, and its base."""
    return {
        "fast": smaller(load_tiny(tiny_checkpoint)),
        "plain": smaller(load_tiny(tiny_checkpoint, path_choice="plain")),
        "checkpointing": smaller(load_tiny(tiny_checkpoint, gradient_checkpointing=True)),
        "base": smaller(load_tiny(tiny_checkpoint, lora=None, keep_reference=False)),
    }


@dataclass
class Row:
    """A text under the model and under its base, with its image and without."""

    now: Plain
    base: Plain
    blind: Plain

    @classmethod
    def of(cls, lvlm: HuggingFaceLVLM, base: HuggingFaceLVLM, sample: GroupSample, *turns: str) -> "Row":
        with torch.no_grad():
            starting, blind = plain(base, *turns, sample.image), plain(base, *turns, None)  # type: ignore[call-arg]
        return cls(plain(lvlm, *turns, sample.image), starting, blind)  # type: ignore[call-arg]

    def owed(self) -> Tensor:
        """log p - log q of each token, the end of turn included."""
        return self.base.logp(closed=True) - self.blind.logp(closed=True)

    def most_owing(self, closed: bool, share: float) -> list[int]:
        values = self.owed()[: None if closed else -1].abs().tolist()
        count = max(1, -int(-share * len(values) // 1))
        return sorted(sorted(range(len(values)), key=lambda t: -values[t])[:count])


def parting(one: Row, other: Row, closed: bool) -> tuple[int, int]:
    """Numbers of the tokens of two texts at which they part."""
    texts = [row.now.ids[row.now.start : row.now.end + closed].tolist() for row in (one, other)]
    pairs = enumerate(zip(*texts, strict=False))
    first = next((n for n, (a, b) in pairs if a != b), min(map(len, texts)))
    return min(first, len(texts[0]) - 1), min(first, len(texts[1]) - 1)


def likelihood_by_hand(rows: Sequence[Row], loss: LossConfig) -> Tensor:
    """L_con of one group in the forms `likelihood` and `dpo`."""
    values = [row.now.logp(closed=True) for row in rows]
    if loss.form == "dpo":
        values = [value - row.base.logp(closed=True) for value, row in zip(values, rows, strict=True)]
    terms = list[Tensor]()
    for k in range(1, len(rows)):
        if loss.pooling == "parting":
            here, there = parting(rows[0], rows[k], closed=True)
            sides = values[0][here], values[k][there]
        else:
            kept = [
                row.most_owing(True, loss.pooling_share) if loss.pooling == "visual" else slice(None)
                for row in (rows[0], rows[k])
            ]
            pooled = [value[own] for value, own in zip((values[0], values[k]), kept, strict=True)]
            sides = tuple(one.mean() if loss.length_normalised else one.sum() for one in pooled)  # type: ignore[assignment]
        terms.append(sides[0] - sides[1])
    if not terms:
        return torch.zeros(())
    margins = torch.stack(terms)
    if loss.form == "dpo":
        return -F.logsigmoid(loss.beta * margins).mean()
    return (1 + (-margins / loss.temperature).exp().sum()).log()


def states(lvlm: HuggingFaceLVLM, sample: GroupSample, text: str, layer: int, blind: bool = False) -> Tensor:
    turns = [("user", sample.instruction), ("assistant", text)]
    inputs = model_inputs(lvlm.processor, turns, None if blind else sample.image)
    return lvlm.model(**inputs, output_hidden_states=True).hidden_states[layer][0]  # type: ignore[no-any-return]


def representation_by_hand(module: C3LModule, rows: Sequence[Row], sample: GroupSample) -> Tensor:
    """L_con of one group in the form `representation`."""
    loss, head, lvlm = module.loss, module.contrastive.projection, module.lvlm

    def represent(hidden: Tensor) -> Tensor:
        return F.normalize(torch.relu(hidden @ head.weight.T + head.bias).mean(0), dim=0)

    # the tiny LLaVA has two layers; the last hidden state is that after the norm
    layer, blind = 1 if loss.layer == 0.5 else -1, loss.context == "text"
    before = states(lvlm, sample, sample.texts[0], layer)[: rows[0].now.start]
    if loss.anchor == "image":
        before = before[rows[0].now.ids[: rows[0].now.start] == lvlm.processor.image_token_id]
        assert len(before) == 9
    anchor = represent(before)
    anchor = anchor.detach() if loss.anchor_gradient == "stop" else anchor
    texts = list[Tensor]()
    for text, row in zip(sample.texts, rows, strict=True):
        own = row.blind if blind else row.now
        texts.append(states(lvlm, sample, text, layer, blind)[own.start : own.end])
    ahead = [torch.zeros(())]
    for k in range(1, len(texts)):
        sides = [texts[0], texts[k]]
        if loss.pooling == "parting":
            columns = parting(rows[0], rows[k], closed=False)
            sides = [side[column][None] for side, column in zip(sides, columns, strict=True)]
        elif loss.pooling == "visual":
            chosen = [row.most_owing(False, loss.pooling_share) for row in (rows[0], rows[k])]
            sides = [side[own] for side, own in zip(sides, chosen, strict=True)]
        ahead.append((anchor @ represent(sides[1]) - anchor @ represent(sides[0])) / loss.temperature)
    return torch.stack(ahead).logsumexp(0)


def weighted_nll(row: Row, visual: bool) -> Tensor:
    logp = row.now.logp(closed=True)
    weights = torch.ones_like(logp)
    owed = (row.base.logp(closed=True).exp() * row.owed()).clamp_min(0)
    if visual and bool(owed.any()):
        weights = 0.5 + 0.5 * owed / owed.mean()
    return -(weights * logp).mean()


def by_hand(module: C3LModule, base: HuggingFaceLVLM, weight: float) -> Tensor:
    """The whole loss of `samples()`; `weight` is lambda."""
    loss, losses = module.loss, list[Tensor]()
    for sample in samples():
        rows = [Row.of(module.lvlm, base, sample, sample.instruction, text) for text in sample.texts]
        answer = Row.of(module.lvlm, base, sample, sample.question, sample.answer)
        visual = loss.token_weights == "visual"
        own = sample.weight * (weighted_nll(rows[0], visual) + weighted_nll(answer, visual)) / 2
        if weight and loss.form == "representation":
            own = own + weight * representation_by_hand(module, rows, sample)
        elif weight:
            own = own + weight * likelihood_by_hand(rows, loss)
        if loss.reference_kl:
            here = slice(answer.now.start - 1, answer.now.end)
            p, q = answer.base.logits[here].softmax(-1), answer.now.logits[here].softmax(-1)
            own = own + loss.reference_kl * (p * (p / q).log()).sum(-1).mean()
        losses.append(own)
    return torch.stack(losses).mean()


def gradient(module: C3LModule, loss: Tensor) -> Tensor:
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    parts = torch.autograd.grad(loss, trained, allow_unused=True)
    return torch.cat([x.flatten() for x in parts if x is not None])


REPRESENTATION = {"form": "representation", "token_weights": "none"}
FORMS: dict[str, dict[str, Any]] = {
    "likelihood": {"form": "likelihood", "temperature": 2.0},
    "likelihood where they part": {"form": "likelihood", "pooling": "parting", "temperature": 0.5},
    "dpo": {"form": "dpo", "beta": 0.5},
    "dpo of visual tokens": {"form": "dpo", "length_normalised": True, "pooling": "visual", "pooling_share": 0.3},
    "image anchor": REPRESENTATION | {"anchor": "image", "anchor_gradient": "stop"},
    "middle layer": REPRESENTATION | {"layer": 0.5, "pooling": "visual", "pooling_share": 0.5, "anchor": "image"},
    "representations where they part": REPRESENTATION | {"pooling": "parting"},
    "texts without image": REPRESENTATION | {"context": "text", "pooling": "parting", "layer": 0.5},
    "likelihood terms": {"token_weights": "visual", "reference_kl": 0.7, "contrastive_weight": 0.0},
}
CASES = [
    *(("fast", form) for form in FORMS),
    *(("plain", form) for form in ("dpo of visual tokens", "middle layer", "likelihood terms")),
    ("checkpointing", "middle layer"),
]


@pytest.mark.parametrize(("path", "form"), CASES)
def test_each_form_is_its_formula(lvlms: dict[str, HuggingFaceLVLM], path: str, form: str) -> None:
    torch.manual_seed(3)
    module = C3LModule(lvlms[path], loss=LossConfig(**{"contrastive_weight": 0.7, **FORMS[form]}))
    loss = module.training_step(module.encode(samples()), 0)
    found, value = gradient(module, loss), float(loss.detach())
    hand = by_hand(module, lvlms["base"], module.loss.contrastive_weight)
    assert value == pytest.approx(float(hand.detach()), rel=1e-4)
    expected = gradient(module, hand)
    assert float((found - expected).norm()) < 1e-4 * float(expected.norm())
    assert module.network.training


def test_logits_are_held_for_a_slice_of_the_texts_at_a_time(
    lvlms: dict[str, HuggingFaceLVLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    module, kept = C3LModule(lvlms["fast"], loss=LossConfig(contrastive_weight=0.7)), list[torch.Size]()
    vocabulary = module.lvlm.model.config.get_text_config().vocab_size
    monkeypatch.setattr("lightning_c3l.lvlm.huggingface.forward._LOGITS", 3 * vocabulary)

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.shape)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = module.training_step(module.encode(samples()), 0)
    # the head's weight is, logits are not
    assert not [shape for shape in kept if shape[-1:] == (vocabulary,) and len(shape) == 2]
    hand = by_hand(module, lvlms["base"], 0.7)
    found, expected = gradient(module, loss), gradient(module, hand)
    assert float((found - expected).norm()) < 1e-4 * float(expected.norm())


def test_the_first_step_of_a_warmup_has_its_share_of_the_contrast(lvlms: dict[str, HuggingFaceLVLM]) -> None:
    torch.manual_seed(3)
    loss = LossConfig(contrastive_weight=0.8, contrastive_warmup=4)
    module = C3LModule(lvlms["fast"], loss=loss)
    with torch.no_grad():
        found = float(module.training_step(module.encode(samples()), 0))
        assert found == pytest.approx(float(by_hand(module, lvlms["base"], 0.2)), rel=1e-4)
    assert [loss.contrastive_weight_at(step) for step in (1, 3, 4, 9)] == pytest.approx([0.4, 0.8, 0.8, 0.8])
    assert LossConfig(contrastive_weight=0.8).contrastive_weight_at(0) == 0.8


def test_full_fine_tuning_compares_with_its_frozen_copy(tiny_checkpoint: Path) -> None:
    lvlm, base = (load_tiny(tiny_checkpoint, lora=None, keep_reference=kept) for kept in (True, False))
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in lvlm.model.get_decoder().parameters():
            parameter.mul_(1.02)
    module = C3LModule(lvlm, loss=LossConfig(form="dpo", contrastive_weight=0.7, beta=0.5))
    with torch.no_grad():
        found = float(module.training_step(module.encode(samples()), 0))
        assert found == pytest.approx(float(by_hand(module, base, 0.7)), rel=1e-3)


def test_options_that_need_a_starting_model_are_refused_without_one(lvlms: dict[str, HuggingFaceLVLM]) -> None:
    C3LModule(lvlms["base"], loss=LossConfig(**REPRESENTATION))
    with pytest.raises(ValueError, match=r"loss.form: dpo needs the starting model: .* set keep_reference"):
        C3LModule(lvlms["base"], loss=LossConfig())
    with pytest.raises(ValueError, match=r"loss.token_weights: visual needs the starting model"):
        C3LModule(lvlms["base"], loss=LossConfig(contrastive_weight=0.0))
    with pytest.raises(ValueError, match=r"loss.reference_kl: 0.5 needs the starting model"):
        C3LModule(lvlms["base"], loss=LossConfig(**REPRESENTATION, reference_kl=0.5))


def test_only_what_an_option_needs_is_made(lvlms: dict[str, HuggingFaceLVLM]) -> None:
    module = C3LModule(lvlms["fast"], loss=LossConfig(**REPRESENTATION))
    assert module.encode(samples()).blind is None
    assert module.loss.extras == GroupExtras()
    assert module.loss.reference_uses == []
    # without contrast, its options ask for nothing
    assert LossConfig(**REPRESENTATION, contrastive_weight=0.0, pooling="visual", layer=0.5).extras == GroupExtras()
    assert LossConfig(contrastive_weight=0.0, token_weights="none").reference_uses == []
    for loss in (LossConfig(form="dpo"), LossConfig(contrastive_weight=0.0)):
        # a head that no loss reaches would stop DDP
        assert not any(p.requires_grad for p in C3LModule(lvlms["fast"], loss=loss).contrastive.parameters())


def test_texts_are_compared_without_their_image_only_if_encoded_so(lvlms: dict[str, HuggingFaceLVLM]) -> None:
    lvlm = lvlms["fast"]
    with pytest.raises(LVLMError, match="encoded without its texts alone"):
        lvlm.blind_logp(lvlm.encode_groups(samples(), "prompt", "image"))
    for changed in ("target", "ids"):
        batch = lvlm.encode_groups(samples(), "prompt", "image", GroupExtras(blind=True))
        assert batch.blind is not None
        if changed == "target":
            batch.blind.target[0] = False
        else:
            batch.blind.ids[batch.blind.target] += 1
        with pytest.raises(LVLMError, match="other tokens without its image"):
            lvlm.blind_logp(batch)


def test_a_prompt_without_image_tokens_has_no_image_anchor(
    lvlms: dict[str, HuggingFaceLVLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    lvlm = lvlms["fast"]
    batch = lvlm.encode_groups(samples(), "image", "image")
    monkeypatch.setattr(FastPath, "image_token", -1)
    with pytest.raises(LVLMError, match="hold no image tokens to pool"):
        lvlm.group_states(batch, "image", "image")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"form": "orpo"},
            "loss.form must be one of representation, likelihood, dpo, or module.attribute of your own form",
        ),
        ({"pooling": "max"}, "loss.pooling must be one of mean, visual, parting, not 'max'"),
        ({"beta": 0.0}, "loss.beta must be above 0, not 0.0"),
        ({"temperature": -1.0}, "loss.temperature must be above 0, not -1.0"),
        ({"layer": 2.0}, "loss.layer must be above 0 and at most 1, not 2.0"),
        ({"pooling_share": 0.0}, "loss.pooling_share must be above 0 and at most 1, not 0.0"),
        ({"contrastive_warmup": -1}, "loss.contrastive_warmup must be at least 0, not -1"),
        ({"reference_kl": -0.1}, "loss.reference_kl must be at least 0, not -0.1"),
        ({"form": "dpo", "anchor": "image"}, "loss.anchor: image needs loss.form: representation, not dpo"),
        ({"form": "likelihood", "cross_group": True}, "loss.cross_group: True needs loss.form: representation"),
        ({"form": "dpo", "projection_size": 8}, "loss.projection_size: 8 needs loss.form: representation, not dpo"),
        ({"form": "dpo", "temperature": 1.0}, "loss.temperature: 1.0 needs loss.form: representation or likelihood"),
        (REPRESENTATION | {"length_normalised": True}, "loss.length_normalised: True needs loss.form: likeli"),
        ({"form": "likelihood", "beta": 2.0}, "loss.beta: 2.0 needs loss.form: dpo, not likelihood"),
        ({"pooling": "parting", "pooling_share": 0.5}, "loss.pooling_share: 0.5 needs loss.pooling: visual"),
        (REPRESENTATION | {"pooling": "parting", "cross_group": True}, "loss.cross_group: texts of other images"),
        (
            {"form": "dpo", "pooling": "parting", "length_normalised": True},
            "loss.length_normalised: pooling: parting compares single tokens",
        ),
        (REPRESENTATION | {"pooling": "visual", "context": "text"}, "set loss.context: image"),
    ],
)
def test_options_that_do_not_fit_are_named(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        LossConfig(**wrong)


@pytest.mark.parametrize(
    "options",
    [
        {"form": "likelihood", "temperature": 1.0, "pooling": "visual", "pooling_share": 0.5},
        {"form": "dpo", "beta": 2.0, "length_normalised": True},
        # as a configuration file has them, all of them
        {**vars(LossConfig()), "form": "dpo"},
    ],
)
def test_options_that_fit_are_taken(options: dict[str, Any]) -> None:
    assert vars(LossConfig(**options)).items() >= options.items()
