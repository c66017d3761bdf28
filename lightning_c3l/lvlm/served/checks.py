"""Probe answers: whether a server computes what the LVLM of this process computes, and why it does not.

The same conversations are read with their image and without it, which tells weights from image preprocessing.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.lvlm.external import ServableLVLM
from lightning_c3l.lvlm.served.messages import conversation_body
from lightning_c3l.lvlm.served.token_rows import first_difference
from lightning_c3l.lvlm.served.vllm_api import PromptLogprobs, VLLMServer
from lightning_c3l.records import Turn

# mean difference per token, in nats. Two engines differ by 1e-5 in float32 and by 0.003 in bfloat16; in bfloat16 a
# model without its adapter differed by 0.4
_TOLERANCES = {torch.float32: 1e-3, torch.float16: 0.01, torch.bfloat16: 0.02}
# answers are those of other weights if they are this much nearer to them
_NEARER = 3.0
# below it two engines differ by rounding alone, whatever the precision
_ROUNDING = 1e-5
# differences up to this many times that of the base have the same cause
_OF_BASE = 10.0
# two precisions of the same weights do not differ by more than this, in nats
_PRECISION = 0.3
_QUESTIONS = (
    ("What is on the left, and what is on the right?", "A red field is on the left, thin blue stripes on the right."),
    ("How many circles are there? Describe them.", "There are 2 white circles, one much smaller than the other."),
    ("Which colors do you see?", "Green and yellow squares, and below them a large black triangle."),
    ("Ask a question about this image, and answer it.", "Question: Is the triangle below the squares? Answer: Yes."),
)


class WrongWeightsError(LVLMError):
    """A server computes something else than the LVLM of this process."""


@dataclass(frozen=True)
class ProbeAnswers:
    """Probe answers as one engine reads them: first all with their image, then all without.

    Attributes:
        ids: token row of each conversation up to the end of its answer.
        logp: log-probabilities of each answer's tokens.
    """

    ids: tuple[tuple[int, ...], ...]
    logp: tuple[Tensor, ...]


@dataclass(frozen=True)
class Expectation:
    """What the answers of a server are compared with.

    Attributes:
        own: the LVLM's answers.
        others: answers of other weights that a server may have taken by mistake, by the cause of that: "base",
            "previous", "mixed".
        tolerance: largest mean difference, in nats.
        is_base: whether the server answers with its base.
        rounding: mean difference of the base's answers on this server, where they have been compared.
    """

    own: ProbeAnswers
    others: Mapping[str, ProbeAnswers]
    tolerance: float
    is_base: bool
    rounding: float = 0.0


def probe_images() -> list[Image.Image]:
    """A wide and a high image with edges, fine stripes and colors that crops, rescaling and channel order change."""
    wide, high = Image.new("RGB", (360, 200), (200, 30, 30)), Image.new("RGB", (200, 300), (230, 220, 40))
    draw = ImageDraw.Draw(wide)
    for column in range(180, 360, 6):
        draw.rectangle((column, 0, column + 2, 199), fill=(20, 40, 220))
    draw.ellipse((30, 40, 110, 120), fill="white")
    draw.ellipse((310, 150, 330, 170), fill="white")
    draw = ImageDraw.Draw(high)
    for index in range(0, 60, 2):
        top, left = 20 * (index // 10), 20 * (index % 10 + index // 10 % 2)
        draw.rectangle((left, top, left + 19, top + 19), fill=(30, 160, 60))
    draw.polygon([(20, 280), (180, 280), (100, 140)], fill="black")
    return [wide, high]


def probes() -> list[tuple[Image.Image | None, tuple[Turn, Turn]]]:
    """Eight conversations: four with an image, and the same four without."""
    images = [image for image in probe_images() for _ in range(2)]
    chats = [(Turn("user", question), Turn("assistant", answer)) for question, answer in _QUESTIONS]
    return [*zip(images, chats, strict=True), *((None, chat) for chat in chats)]


def default_tolerance(lvlm: ServableLVLM) -> float:
    """Largest mean difference per token, in nats, by the precision that the LVLM computes in now."""
    dtype = lvlm.dtype or torch.float32
    weight = next(lvlm.network.parameters(), None)
    kind = "cpu" if weight is None else weight.device.type
    if torch.is_autocast_enabled(kind):
        dtype = torch.get_autocast_dtype(kind)
    return _TOLERANCES.get(dtype, _TOLERANCES[torch.bfloat16])


def own_answers(lvlm: ServableLVLM) -> ProbeAnswers:
    """The probe answers by the weights of this process, as they are now."""
    conversations = probes()
    seen = conversations[: len(_QUESTIONS)]
    rows = [lvlm.answer_ids(image, turns) for image, turns in conversations]
    found = lvlm.score([(image,) for image, _ in seen if image is not None], [[turns] for _, turns in seen])
    mask = found.mask.cpu()
    both = found.logp_image.cpu(), found.logp_blind.cpu()
    logp = tuple(values[row][mask[row]] for values in both for row in range(len(seen)))
    return ProbeAnswers(tuple(ids for ids, _ in rows), logp)


def served_answers(server: VLLMServer, model: str, lvlm: ServableLVLM, own: ProbeAnswers) -> ProbeAnswers:
    """The probe answers by a server, all asked at the same time.

    Raises:
        LVLMError: if the server cannot be asked, or reads other tokens than the LVLM.
    """
    conversations = probes()
    with ThreadPoolExecutor(len(conversations)) as pool:
        ask = [
            pool.submit(server.prompt_logprobs, model, conversation_body(lvlm, image, turns))
            for image, turns in conversations
        ]
        replies = [one.result() for one in ask]
    _compare_rows(f"{server.url}: {model}", replies, own)
    logp = [torch.tensor(one.logp[-len(known) :]) for one, known in zip(replies, own.logp, strict=True)]
    return ProbeAnswers(tuple(one.ids for one in replies), tuple(logp))


def compare(where: str, served: ProbeAnswers, expected: Expectation) -> float:
    """Compare the answers of a server with those of the LVLM.

    Args:
        where: server and model, for the message.
        served: answers of the server.
        expected: answers of the LVLM.

    Returns:
        Their mean difference per token in nats: that with images or that without, whichever is larger.

    Raises:
        WrongWeightsError: if they differ by more than the tolerance, or are nearer to those of other weights; names the
            likely cause.
    """
    off = _distance(served, expected.own)
    noise = max(_ROUNDING, _NEARER * expected.rounding)
    taken = [name for name, other in expected.others.items() if _NEARER * _distance(served, other) < off]
    if off <= expected.tolerance and not (taken and off > noise):
        return off
    raise WrongWeightsError(
        f"{where}: log-probabilities of probe answers differ from those of the weights in this process by {off:.3g} "
        f"nats per token (tolerance {expected.tolerance:g}). {_likely_cause(served, expected, taken)}"
    )


def _distances(one: ProbeAnswers, other: ProbeAnswers) -> Tensor:
    """Mean absolute difference per token of each probe answer."""
    return torch.stack([(a - b).abs().mean() for a, b in zip(one.logp, other.logp, strict=True)])


def _distance(one: ProbeAnswers, other: ProbeAnswers) -> float:
    """Mean difference of the answers with images or of those without, whichever is larger."""
    return float(_distances(one, other).view(2, -1).mean(1).max())


def _likely_cause(served: ProbeAnswers, expected: Expectation, taken: Sequence[str]) -> str:
    """Why answers differ, and what to do about it; `taken` names weights that they are nearer to."""
    differences = _distances(served, expected.own)
    with_image, without = differences.view(2, -1)
    if torch.cat(served.logp).eq(0).float().mean() > 0.5:
        return _CAUSES["cached"]
    if _is_mixed(served, expected):
        return _CAUSES["mixed"]
    if taken:
        return _CAUSES[taken[0]]
    if without.max() <= expected.tolerance < with_image.max():
        # the base may be off by as much and pass
        base_is_off = with_image.mean() < _OF_BASE * max(expected.rounding, _ROUNDING)
        return _CAUSES["image" if expected.is_base or base_is_off else "tower"]
    if expected.is_base and differences.max() < _PRECISION:
        return _CAUSES["precision"]
    return _CAUSES["other base" if expected.is_base else "stale"]


def _is_mixed(served: ProbeAnswers, expected: Expectation) -> bool:
    """Whether some answers are those of the LVLM's weights, and others are not."""
    own, found = _distances(served, expected.own), set[bool]()
    # no other base agrees on some texts and is off on others
    without = own.view(2, -1)[1]
    if without.min() <= expected.tolerance and without.max() > _NEARER * expected.tolerance:
        return True
    for other in expected.others.values():
        theirs = _distances(served, other)
        for mine, its in zip(own.tolist(), theirs.tolist(), strict=True):
            if min(mine, its) <= expected.tolerance and _NEARER * min(mine, its) < max(mine, its):
                found.add(mine < its)
        if len(found) == 2:
            return True
    return False


def _compare_rows(where: str, replies: Sequence[PromptLogprobs], own: ProbeAnswers) -> None:
    differing = [n for n, (one, ids) in enumerate(zip(replies, own.ids, strict=True)) if one.ids != ids]
    if not differing:
        return
    # those without image come last: where they agree, text and chat template do
    index = differing[-1]
    theirs, ours = replies[index].ids, own.ids[index]
    cause = _CAUSES["image tokens" if index < len(_QUESTIONS) else "tokenization"]
    raise LVLMError(
        f"{where}: reads a probe answer as {len(theirs)} tokens, and the LVLM of this process as {len(ours)}; the "
        f"first that differs is number {first_difference(theirs, ours)}. {cause}"
    )


_CAUSES = {
    "tokenization": (
        "Texts without image differ too: the server has another tokenizer or chat template. Start it with the same "
        "checkpoint, and with --chat-template if lvlm.chat_template is set"
    ),
    "image tokens": (
        "Texts without image agree: the server preprocesses images in another way. Start it with the same "
        "preprocessor_config.json and without --mm-processor-kwargs"
    ),
    "image": (
        "Answers without image agree: the server preprocesses images in another way, or has another vision tower. "
        "Start it with the same checkpoint and without --mm-processor-kwargs; servers resize images with torchvision, "
        "which lightning_c3l[vision] installs here"
    ),
    "tower": (
        "Answers without image agree, and the base agrees: what the adapter changes in the vision tower or projector "
        "is ignored by the server. Leave lora.vision out, or train without `generator`"
    ),
    "mixed": (
        "Some answers are those of other weights: the server mixes the base and adapters in one batch, so another run "
        "uses it at the same time. Give each run a server of its own"
    ),
    "base": (
        "They are those of the base: the server has loaded the adapter and ignores it. Start it with --enable-lora, "
        "and with --lora-target-modules that name all adapted layers if that option is used"
    ),
    "previous": (
        "They are those of the adapter before: the server still serves it (stale adapter). Restart the server and "
        "resume"
    ),
    "cached": (
        "Most of them are 0: the server fills rows of its prefix cache with zeros. Start it with "
        "--no-enable-prefix-caching"
    ),
    "precision": (
        "The difference is small: the server runs in another precision or with quantized weights. Start it with the "
        "--dtype of lvlm.dtype, or raise generator.tolerance if this is intended"
    ),
    "other base": (
        "Answers without image differ too: the server has another base, or the weights that another run has left. "
        "Restart it with the checkpoint of lvlm.path"
    ),
    "stale": (
        "The base agrees: the server serves another adapter under this name (stale adapter), or applies only a part of "
        "what was handed over. Restart the server and resume; an adapter of lm_head or of the embeddings cannot be "
        "served, and vLLM 0.32 on a CPU keeps the old head under full fine-tuning where it is tied to the embeddings"
    ),
}
