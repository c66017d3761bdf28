"""The tiny families on a device: the path that is chosen, and scores beside plain forwards of transformers."""

import shutil
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from experiments.gpu_check.checks import Outcome, Setting
from experiments.gpu_check.tiny_families import helpers, quick_families
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.loading import Precision
from lightning_c3l.report.progress import track
from lightning_c3l.rounds.scoring import score_pairs

# nats; GPUs add up in another order for each shape of a product
_TOLERANCE = {"cpu": 1e-4, "cuda": 1e-3}
# in bfloat16 scores may be so many times as far from float32 as plain forwards in bfloat16 are, and nats more
_TIMES, _NATS = 1.5, 0.05


class OnDevice:
    """A model that takes inputs from the CPU.

    Args:
        model: of transformers.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, **inputs: Any) -> Any:
        """The model's output, with logits in float32 on the CPU."""
        model = self._model
        moved = {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            if isinstance(value, Tensor)
            else value
            for name, value in inputs.items()
        }
        out = model(**moved)
        out.logits = out.logits.float().cpu()
        return out


def check_float32(setting: Setting) -> Outcome:
    """All families in float32."""
    return _check(setting, "float32")


def check_bfloat16(setting: Setting) -> Outcome:
    """All families in bfloat16."""
    return _check(setting, "bfloat16")


def _check(setting: Setting, dtype: Precision) -> Outcome:
    figures, problems = dict[str, Any](), list[str]()
    names = setting.families or quick_families()
    for name in track(names, f"{dtype}", "families"):
        try:
            figures[name] = compare(setting, name, dtype)
            if not figures[name]["error"] <= figures[name]["allowed"]:
                problems.append(f"{name}: scores are off by {figures[name]['error']:.2g} nats")
        except Exception as error:
            problems.append(f"{name}: {type(error).__name__}: {str(error).strip()[:300]}")
    worst = max((found["difference"] for found in figures.values()), default=float("nan"))
    paths = Counter(found["path"] for found in figures.values())
    named = ", ".join(f"{count} {path}" for path, count in paths.most_common())
    count = f"{len(names) - len(problems)} of {len(names)} families"
    return Outcome(f"{count}, largest difference {worst:.2g} nats, paths: {named}", problems, figures)


@torch.no_grad()
def compare(setting: Setting, name: str, dtype: Precision) -> dict[str, Any]:
    """Scores of a few pairs about three images, with and without image.

    Args:
        setting: the device, and a folder for the checkpoint.
        name: of the family.
        dtype: of the weights.

    Returns:
        `path` and `path_reason` as in `PathChoice`; `difference`, the largest one from plain forwards in the same
        precision; `error`, the largest one from plain forwards in float32, which may be `allowed` nats; in bfloat16
        `plain_error`, that of the plain forwards in the same precision.
    """
    family, folder = helpers("families").family(name), setting.folder / name
    family.build(folder)
    lvlm = HuggingFaceLVLM(str(folder), lora=None, dtype=dtype, keep_reference=False)
    lvlm.network.to(setting.device)
    images, pairs = helpers("families.samples").pictures()[:3], helpers("families.samples").PAIRS
    scored = score_pairs(lvlm, images, pairs)
    rows = zip(scored.logp_image, scored.logp_blind, scored.mask, strict=True)
    found = [values[mask].float().cpu() for *columns, mask in rows for values in columns]
    native = helpers("families.native").Native
    plain = plain_logp(native(family, lvlm.processor, OnDevice(lvlm.model)), images, pairs)
    off = largest(found, plain)
    choice = lvlm.inference_path
    out: dict[str, Any] = {"path": choice.name, "path_reason": choice.reason, "difference": off}
    if dtype == "float32":
        out |= {"error": off, "allowed": _TOLERANCE[setting.device]}
    else:
        exact_model = OnDevice(native.load(family, folder).model.to(setting.device))
        exact = plain_logp(native(family, lvlm.processor, exact_model), images, pairs)
        plain_error = largest(plain, exact)
        out |= {"error": largest(found, exact), "allowed": _TIMES * plain_error + _NATS, "plain_error": plain_error}
    shutil.rmtree(folder)
    return out


def plain_logp(native: Any, images: Any, pairs: Any) -> list[Tensor]:
    """Log-probabilities of the tokens of every answer, with its image and without, by one forward each."""
    return [
        native.answer(question, answer, shown).logp().float().cpu()
        for image, own in zip(images, pairs, strict=True)
        for question, answer in own
        for shown in (image, None)
    ]


def largest(found: list[Tensor], expected: list[Tensor]) -> float:
    """Largest difference of any token."""
    return max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
