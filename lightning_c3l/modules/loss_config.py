"""Options of the loss of training on pseudo-labels."""

from dataclasses import dataclass, fields
from typing import Literal

from lightning.pytorch.utilities import rank_zero_warn

from lightning_c3l.extensions import is_path
from lightning_c3l.lvlm.base import Anchor, Context, GroupExtras
from lightning_c3l.modules.contrast import form_of

_CHOICES: dict[str, tuple[str, ...]] = {
    "anchor": ("prompt", "image", "instruction", "description"),
    "anchor_gradient": ("full", "stop"),
    "context": ("image", "text"),
    "pooling": ("mean", "visual", "parting"),
    "token_weights": ("none", "visual"),
}
_REPRESENTATION, _LIKELIHOODS = ("representation",), ("likelihood", "dpo")
# options that mean something with some values of another one only, by that one's name; otherwise they keep their
# default
_ONLY_WITH: dict[str, tuple[str, tuple[str, ...]]] = {
    "anchor": ("form", _REPRESENTATION),
    "anchor_gradient": ("form", _REPRESENTATION),
    "context": ("form", _REPRESENTATION),
    "layer": ("form", _REPRESENTATION),
    "cross_group": ("form", _REPRESENTATION),
    "projection_size": ("form", _REPRESENTATION),
    "temperature": ("form", ("representation", "likelihood")),
    "length_normalised": ("form", _LIKELIHOODS),
    "beta": ("form", ("dpo",)),
    "pooling_share": ("pooling", ("visual",)),
}


@dataclass(frozen=True)
class LossConfig:
    """L = w (1/2 NLL(write the pair) + 1/2 NLL(answer its question)) * nll_weight + contrastive_weight * L_con.

    "Ours" marks what is neither C3L's nor another paper's. "The reference" is the starting model (the adapter switched
    off, or the frozen copy); its log-probabilities come from a forward without gradient in each step.

    Attributes:
        contrastive_weight: lambda; 0 leaves the contrastive term and its candidates out.
        nll_weight: weight of the likelihood terms; 0 is possible but makes the model forget how to generate.
        temperature: tau of the contrastive term, except of the form `dpo`.
        projection_size: width of z = mean ReLU(W h + b).
        anchor: what the anchor is pooled from: the prompt with its image, the image tokens alone, the instruction
            alone, or the model's own description of the image (ours; the paper's anchor is unknown).
        context: whether candidates are read after image and instruction, or after the instruction alone.
        cross_group: use the texts of other images of the batch (of all ranks) as negatives too.
        form: form of L_con. `representation`: -log softmax_k(cos(z_a, z_k) / tau) (our reading of C3L). `likelihood`:
            InfoNCE (van den Oord et al., 2018) with log-probabilities as scores, -log softmax_k(log P(text_k) / tau)
            (ours). `dpo`: mean over negatives of -log sigmoid(beta (r_0 - r_k)),
            r = log P(text) - log P_reference(text) (Rafailov et al., 2023). Or module.function of your own
            (docs/extending/loss.md), for which any option may be set.
        length_normalised: with `likelihood` and `dpo`, log P(text) is the mean over the text's tokens, end of turn
            included, instead of the sum (Meng et al., SimPO, 2024); sums differ by some nats, which wants a temperature
            near 1.
        beta: beta of the form `dpo`, by which it multiplies r_0 - r_k.
        contrastive_warmup: steps over which lambda rises linearly, like `optimization.warmup_steps` (ours).
        layer: which hidden layer h is, as a share of the decoder's layers: 1 is the last one after its norm, 0.5 the
            output of the middle one (ours).
        anchor_gradient: whether gradients pass through the anchor z_a: `full`, or `stop` (Chen and He, SimSiam, 2021).
        pooling: which tokens of a candidate count in L_con: `mean`, all of them; `visual`, the share with the largest
            |log p - log q| under the reference, q without the image; `parting`, for each negative the first token at
            which it and the positive differ (both ours): within the answer for negatives that answer the positive's
            question (`i2c.negatives`), mostly within the question for other candidates.
        pooling_share: share of the tokens that the pooling `visual` keeps.
        token_weights: `none`, or `visual`, which weighs the tokens of the positive in the likelihood terms by
            1/2 + 1/2 s_t / mean(s), s_t = max(0, p_t (log p_t - log q_t)) under the reference (ours).
        reference_kl: weight of KL(P_reference || P) over the vocabulary, mean over the tokens of the positive's answer
            to its question, which holds plain answering near the reference's (ours).
    """

    contrastive_weight: float = 0.3
    nll_weight: float = 1.0
    temperature: float = 0.2
    projection_size: int = 128
    anchor: Anchor = "prompt"
    context: Context = "image"
    cross_group: bool = False
    form: str = "dpo"
    length_normalised: bool = False
    beta: float = 0.1
    contrastive_warmup: int = 0
    layer: float = 1.0
    anchor_gradient: Literal["full", "stop"] = "full"
    pooling: Literal["mean", "visual", "parting"] = "mean"
    pooling_share: float = 0.25
    token_weights: Literal["none", "visual"] = "visual"
    reference_kl: float = 0.0

    def __post_init__(self) -> None:
        """Refuse losses that cannot train, and warn of the one that is known to destroy the model."""
        for name, choices in _CHOICES.items():
            if (value := getattr(self, name)) not in choices:
                raise ValueError(f"loss.{name} must be one of {', '.join(choices)}, not {value!r}")
        form_of("loss.form", self.form)
        for name in ("contrastive_weight", "nll_weight", "contrastive_warmup", "reference_kl"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"loss.{name} must be at least 0, not {getattr(self, name)}")
        for name in ("temperature", "beta"):
            if not getattr(self, name) > 0:
                raise ValueError(f"loss.{name} must be above 0, not {getattr(self, name)}")
        for name in ("layer", "pooling_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"loss.{name} must be above 0 and at most 1, not {getattr(self, name)}")
        self._require_fitting()
        if self.contrastive_weight == 0 and self.nll_weight == 0:
            raise ValueError("loss: contrastive_weight and nll_weight are both 0, nothing would be trained")
        if self.nll_weight == 0:
            rank_zero_warn("loss: nll_weight is 0: the contrastive term alone is known to destroy the writer")

    def _require_fitting(self) -> None:
        """Refuse options that exclude each other, or that would do nothing."""
        defaults = {one.name: one.default for one in fields(self)}
        for name, (other, values) in _ONLY_WITH.items():
            given, value = getattr(self, other), getattr(self, name)
            if value != defaults[name] and given not in values and not is_path(given):
                raise ValueError(f"loss.{name}: {value} needs loss.{other}: {' or '.join(values)}, not {given}")
        if self.pooling == "parting" and self.length_normalised:
            raise ValueError("loss.length_normalised: pooling: parting compares single tokens; set it false")
        if self.pooling == "parting" and self.cross_group:
            raise ValueError("loss.cross_group: texts of other images are no pairs for pooling: parting; set it false")
        if self.pooling == "visual" and self.context == "text":
            raise ValueError("loss.pooling: visual compares candidates with and without image; set loss.context: image")

    @property
    def contrasts(self) -> bool:
        """Whether the contrastive term takes part."""
        return self.contrastive_weight > 0

    @property
    def needs(self) -> tuple[str, ...]:
        """What the contrastive term needs, as in `Form`; nothing where it does not take part."""
        return form_of("loss.form", self.form).needs if self.contrasts else ()

    @property
    def has_head(self) -> bool:
        """Whether the projection head takes part."""
        return "head" in self.needs

    @property
    def reference_uses(self) -> list[str]:
        """The options that need log-probabilities of the reference."""
        uses = {
            f"form: {self.form}": not {"reference", "blind"}.isdisjoint(self.needs),
            "pooling: visual": self.contrasts and self.pooling == "visual",
            "token_weights: visual": self.token_weights == "visual",
            f"reference_kl: {self.reference_kl}": self.reference_kl > 0,
        }
        return [name for name, used in uses.items() if used]

    @property
    def extras(self) -> GroupExtras:
        """What a batch of groups must hold for it."""
        visual = self.contrasts and self.pooling == "visual"
        return GroupExtras(
            negatives=visual or "negatives" in self.needs,
            blind=visual or self.token_weights == "visual" or "blind" in self.needs,
            answer_logits=self.reference_kl > 0,
            depth=self.layer if self.has_head else 1.0,
        )

    def contrastive_weight_at(self, step: int) -> float:
        """Lambda in an optimizer step, counted from 0."""
        return self.contrastive_weight * min(1.0, (step + 1) / max(1, self.contrastive_warmup))
