"""The self-check: each way to run a model is compared with plain forwards, and the fastest that agrees is used."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ParamSpec, TypeVar, get_args

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from lightning_c3l.lvlm.base import GenerationRequest, Images, LVLMError
from lightning_c3l.lvlm.huggingface.attention import ImageBlocks
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.fast_path import FastPath
from lightning_c3l.lvlm.huggingface.forward import Decoder
from lightning_c3l.lvlm.huggingface.model_path import ModelPath, PathName, PathOption
from lightning_c3l.lvlm.huggingface.path_choice import PathChoice
from lightning_c3l.lvlm.huggingface.probe import (
    CHATS,
    GREEDY,
    PlainForwards,
    mode,
    probe_groups,
    probe_images,
    probe_records,
)
from lightning_c3l.lvlm.load_errors import one_line

# from the fastest to the slowest
_PATHS: list[PathName] = ["fast", "cached", "plain", "one_by_one"]
# relative differences of logits; rounding in half precisions stays below the second, other computations lie above
_FLOAT32, _HALF = 1e-3, 0.05
# layers that a block mask reaches; others carry a state
_MASKED_LAYERS = {"full_attention", "sliding_attention"}
_STATE = "not fast: layers carry a state, which no mask keeps apart"
_P = ParamSpec("_P")
_T = TypeVar("_T")


class Disagreement(ValueError):
    """A path does not compute what plain forwards compute."""


def choose_path(model: Any, encoder: ChatEncoder, option: PathOption) -> PathChoice:
    """The fastest path whose scores and completions agree with plain forwards.

    Args:
        model: the transformers model.
        encoder: its chat encoder.
        option: "auto", or the one path that is tried.

    Raises:
        LVLMError: if there is none; says why.
    """
    name, kind, reference = encoder.name, type(model).__name__, PlainForwards(model, encoder)
    if model.config.is_encoder_decoder:
        raise LVLMError(f"{name}: {kind} reads prompts with an encoder; only decoders complete conversations")
    with mode(model, False), torch.no_grad():
        expected = _attempt(_expected, reference)
        if isinstance(expected, str):
            raise LVLMError(f"{name}: {kind} cannot be run: {expected.removeprefix(f'{name}: ')}")
        candidates = _candidates(reference, option)
        reasons = [] if candidates[0].name != "cached" or option != "auto" else [_STATE]
        for candidate in candidates:
            choice = _attempt(_checked, candidate, reference, expected)
            if isinstance(choice, PathChoice):
                because = f" ({'; '.join(reasons)})" if reasons else ""
                rank_zero_info(f"{name}: runs on the {_label(choice)} path{because}")
                return replace(choice, reason="; ".join(reasons))
            reasons.append(f"not {_label(candidate)}: {choice}")
    raise LVLMError(f"{name}: {kind} cannot be used: {'; '.join(reasons)}")


def choose_training_path(network: nn.Module, model: Any, encoder: ChatEncoder, choice: PathChoice) -> PathChoice:
    """The path for training steps: that for inference if its values and gradients agree with plain forwards.

    Args:
        network: the module that is trained, around the model.
        model: the transformers model.
        encoder: its chat encoder.
        choice: the path for inference.

    Raises:
        LVLMError: if plain forwards fail as well.
    """
    slower = _PATHS[max(2, _PATHS.index(choice.name) + 1) :]
    candidates = [choice, *(replace(choice, name=one, copies=False) for one in slower)]
    last = replace(choice, name="one_by_one", copies=False)
    failed = f"{encoder.name}: {type(model).__name__} cannot be trained: "
    with mode(network, True), torch.enable_grad():
        expected = _attempt(_training_values, network, model, last.build(model, encoder))
        if isinstance(expected, str):
            raise LVLMError(failed + expected)
        reasons = list[str]()
        for candidate in candidates:
            path = candidate.build(model, encoder)
            reason = _attempt(_check_training, network, model, path, expected)
            if reason is None:
                if reasons:
                    rank_zero_info(f"{encoder.name}: trains on the {_label(candidate)} path ({'; '.join(reasons)})")
                return replace(candidate, reason="; ".join(reasons))
            reasons.append(f"not {_label(candidate)}: {reason}")
    raise LVLMError(failed + "; ".join(reasons))


def _attempt(check: Callable[_P, _T], *args: _P.args, **options: _P.kwargs) -> _T | str:
    """What a check returns, or the first line of why it failed; memory that runs out is no failure of a path."""
    try:
        return check(*args, **options)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return one_line(error)


def _label(choice: PathChoice) -> str:
    return choice.name.replace("_", " ")


def _contexts() -> Iterator[list[Images] | None]:
    yield [(image,) for image in probe_images()]
    yield None


def _expected(reference: PlainForwards) -> list[Tensor]:
    """Logits of the answers with images and without."""
    reference.require_causal()
    return [reference.answer_logits(images) for images in _contexts()]


def _candidates(reference: PlainForwards, option: PathOption) -> list[PathChoice]:
    types = set(getattr(reference.model.config.get_text_config(), "layer_types", None) or ())
    names = _PATHS[1:] if option == "auto" and types - _MASKED_LAYERS else _PATHS
    typed = reference.encoder.answers_are_typed
    return [PathChoice(one, head=reference.head, typed=typed) for one in names if option in ("auto", one)]


def _checked(candidate: PathChoice, reference: PlainForwards, expected: Sequence[Tensor]) -> PathChoice:
    """The candidate with what was found out about it; raises whatever it raises, or a Disagreement."""
    model, encoder = reference.model, reference.encoder
    path = candidate.build(model, encoder)
    for images, logits, what in zip(_contexts(), expected, ("with images", "without an image"), strict=True):
        states, _, _ = path.answer_states(CHATS, images)
        _compare(path.logits(states), logits, f"logits {what}", model)
    if candidate.name == "fast":
        candidate = _with_blocks(candidate, model, encoder)
    if candidate.name in ("plain", "one_by_one"):
        copying = replace(candidate, copies=True)
        failed = _attempt(_check_completions, copying.build(model, encoder), reference)
        candidate = copying if failed is None else candidate
    if not candidate.copies:
        _check_completions(candidate.build(model, encoder), reference)
    slower = [PathChoice(name, typed=candidate.typed) for name in _PATHS[max(2, _PATHS.index(candidate.name) + 1) :]]
    paths = {one.name: one.build(model, encoder) for one in (candidate, *slower)}
    able = (name for name, path in paths.items() if _attempt(_check_several, path, reference) is None)
    return replace(candidate, several=next(able, None))


def _with_blocks(candidate: PathChoice, model: Any, encoder: ChatEncoder) -> PathChoice:
    """The candidate with the mask under which one pass gives the states of prefixes in a cache."""
    path = FastPath(Decoder(model, encoder.images), encoder)
    first, _, third = probe_images()
    batch = path.encode_groups(probe_groups(first, third), "prompt", "image").to(model.device)
    prefixes, suffixes = path.prefixes(batch), batch.suffixes
    masks = prefixes.mask, suffixes.mask
    cached = torch.cat([x[m] for x, m in zip(path.decoder.run_shared(prefixes, suffixes), masks, strict=True)])
    for blocks in get_args(ImageBlocks):
        states = Decoder(model, encoder.images, blocks=blocks).run_shared(prefixes, suffixes, joined=True)
        joined = torch.cat([x[m] for x, m in zip(states, masks, strict=True)])
        try:
            _compare(joined, cached, "states of one pass", model)
            return replace(candidate, blocks=blocks)
        except Disagreement as error:
            reason = error
    raise reason


def _check_completions(path: ModelPath, reference: PlainForwards) -> None:
    first, second, _ = probe_images()
    long = GenerationRequest(CHATS[0][0][0].text, second, answer_prefix="It")
    requests = [GenerationRequest("Where?", first), long, GenerationRequest("Why?")]
    for request, completions in zip(requests, path.generate(requests, GREEDY, len(requests)), strict=True):
        tokens, leads = reference.completion(request)
        # where two tokens are equally likely, rounding decides
        sure = next((n for n, lead in enumerate(leads) if lead < _tolerance(reference.model)), len(leads))
        if any(one[:sure] != tokens[:sure] for one in completions):
            raise Disagreement(f"completions differ {'with' if request.image else 'without'} an image")


def _check_several(path: ModelPath, reference: PlainForwards) -> None:
    """Conversations with two images, of equal and of unequal size, and with one image, in one batch."""
    (first, second, third), chat = probe_images(), CHATS[0][0]
    contexts: list[Images] = [(first, third), (first, second), (second,)]
    states, _, _ = path.answer_states([[chat]] * len(contexts), contexts)
    expected = torch.cat([reference.logits(chat, images)[0] for images in contexts])
    _compare(path.logits(states), expected, "several images", reference.model)


def _tolerance(model: Any) -> float:
    exact = model.dtype == torch.float32 and not torch.is_autocast_enabled(model.device.type)
    return _FLOAT32 if exact and not getattr(model, "is_quantized", False) else _HALF


def _compare(found: Tensor, expected: Tensor, what: str, model: Any) -> None:
    if found.shape != expected.shape:
        raise Disagreement(f"{what}: {tuple(found.shape)} numbers instead of {tuple(expected.shape)}")
    spread = expected - expected.mean(-1, keepdim=True)
    difference = float((found - expected).norm() / spread.norm())
    if not difference <= _tolerance(model):
        raise Disagreement(f"{what} differ by {difference:.2g}")


def _check_training(network: nn.Module, model: Any, path: ModelPath, expected: tuple[Tensor, Tensor]) -> None:
    found = _training_values(network, model, path)
    for what, mine, theirs in zip(("log-probabilities", "gradients"), found, expected, strict=True):
        _compare(mine, theirs, f"{what} of training", model)


def _training_values(network: nn.Module, model: Any, path: ModelPath) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the targets of two groups and two records, and gradients of their sum for some weights."""
    first, second, _ = probe_images()
    groups = path.encode_groups(probe_groups(first, second), "prompt", "image").to(model.device)
    records = path.encode_conversations(probe_records()).to(model.device)
    parts = [path.run_groups(groups).logp[groups.suffixes.target], path.conversation_logp(records)[records.target]]
    logp = torch.cat(parts)
    weights = [one for one in network.parameters() if one.requires_grad and not isinstance(one, DTensor)]
    if not weights or not logp.requires_grad:
        return logp.detach(), logp.detach()
    # an odd stride meets both matrices of an adapter, of which one begins as zeros
    some = weights[:: max(1, len(weights) // 8) | 1]
    gradients = torch.autograd.grad(logp.sum(), some, allow_unused=True)
    return logp.detach(), torch.cat([one.flatten().float() for one in gradients if one is not None])
