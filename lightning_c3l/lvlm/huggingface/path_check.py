"""The self-check: each way to run a model is compared with plain forwards, and the fastest that agrees is used."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from lightning_c3l.lvlm.base import ConversationError, GenerationRequest, Images, LVLMError
from lightning_c3l.lvlm.huggingface.attention import ImageBlocks
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder
from lightning_c3l.lvlm.huggingface.fast_path import FastPath
from lightning_c3l.lvlm.huggingface.forward import Decoder
from lightning_c3l.lvlm.huggingface.model_path import ModelPath, PathName, PathOption
from lightning_c3l.lvlm.huggingface.output_head import OutputHead
from lightning_c3l.lvlm.huggingface.plain_path import PlainPath
from lightning_c3l.lvlm.huggingface.probe import (
    CHATS,
    GREEDY,
    Reference,
    mode,
    probe_groups,
    probe_images,
    probe_records,
)

# relative differences of logits; rounding in half precisions stays below the second, other computations lie above
_FLOAT32, _HALF = 1e-3, 0.05
# layers that a block mask reaches; others carry a state
_MASKED_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class PathChoice:
    """A way to run a model, and what was measured for it.

    Attributes:
        name: which.
        reason: why no faster one is used; empty for the fastest.
        head: the step from hidden states to logits.
        blocks: where the tokens of one image attend to each other in both directions.
        copies: completions are generated behind copies of their prompt's cache.
        typed: answers are told from prompts by their `token_type_ids`.
        several: path for conversations with several images; None if none agrees.
    """

    name: PathName
    reason: str = ""
    head: OutputHead = OutputHead()  # noqa: RUF009  # frozen
    blocks: ImageBlocks = "none"
    copies: bool = False
    typed: bool = False
    several: PathName | None = None

    def for_images(self, images: Sequence[Images]) -> "PathChoice":
        """The choice for conversations with these images.

        Raises:
            ConversationError: if one has several images, and the model cannot be run on such conversations.
        """
        if self.several == self.name or all(len(own) < 2 for own in images):
            return self
        if self.several is None:
            raise ConversationError(
                "the model cannot be run on several images of one conversation in agreement with plain forwards"
            )
        return PathChoice(self.several, typed=self.typed, several=self.several)

    def build(self, model: Any, encoder: ChatEncoder) -> ModelPath:
        """The path for a model."""
        encoder.answers_are_typed = self.typed
        if self.name in ("plain", "one_by_one"):
            return PlainPath(model, encoder, self.name == "one_by_one", self.copies)
        copies = self.name == "cached"
        return FastPath(Decoder(model, encoder.images, self.head, self.blocks, copies), encoder)


# what was chosen in this process: equal weights on equal devices need no second check
_CHOSEN = dict[Hashable, PathChoice]()


def once(key: Hashable, choose: Callable[[], PathChoice]) -> PathChoice:
    """The choice for a key, made once in a process."""
    if key not in _CHOSEN:
        _CHOSEN[key] = choose()
    return _CHOSEN[key]


class Disagreement(Exception):
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
    if model.config.is_encoder_decoder:
        kind = type(model).__name__
        raise LVLMError(f"{encoder.name}: {kind} reads prompts with an encoder; only decoders complete conversations")
    with mode(model, False), torch.no_grad():
        reference = Reference(model, encoder)
        try:
            reference.require_causal()
            expected = [reference.answer_logits(images) for images in _contexts()]
            head = reference.head
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            if type(error) is LVLMError:
                raise
            raise LVLMError(f"{encoder.name}: {type(model).__name__} cannot be run: {_line(error)}") from error
        reasons = dict[str, str]()
        for candidate in _candidates(model, option, head, encoder.answers_are_typed):
            try:
                found = _checked(candidate, reference, expected)
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                reasons[candidate.name] = f"not {_label(candidate)}: {_line(error)}"
                continue
            found = replace(found, reason="; ".join(why for name, why in reasons.items() if name != found.name))
            because = f" ({found.reason})" if found.reason else ""
            rank_zero_info(f"{encoder.name}: runs on the {found.name.replace('_', ' ')} path{because}")
            return found
    raise LVLMError(f"{encoder.name}: {type(model).__name__} cannot be used: {'; '.join(reasons.values())}")


def _contexts() -> Iterator[list[Images] | None]:
    yield [(image,) for image in probe_images()]
    yield None


def _label(candidate: PathChoice) -> str:
    return candidate.name.replace("_", " ")


def _line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:200]


def _candidates(model: Any, option: PathOption, head: OutputHead, typed: bool = False) -> list[PathChoice]:
    types = set(getattr(model.config.get_text_config(), "layer_types", None) or ())
    candidates = [PathChoice("cached"), PathChoice("plain"), PathChoice("one_by_one")]
    if option == "fast" or not types - _MASKED_LAYERS:
        candidates.insert(0, PathChoice("fast"))
    return [replace(one, head=head, typed=typed) for one in candidates if option in ("auto", one.name)]


def _checked(candidate: PathChoice, reference: Reference, expected: Sequence[Tensor]) -> PathChoice:
    """The candidate with what was found out about it; raises whatever it raises, or a Disagreement."""
    model, encoder = reference.model, reference.encoder
    path = candidate.build(model, encoder)
    for images, logits, what in zip(_contexts(), expected, ("with images", "without an image"), strict=True):
        states, _, _ = path.answer_states(CHATS, images)
        _compare(path.logits(states), logits, f"logits {what}", _tolerance(model))
    if candidate.name == "fast":
        candidate = _checked_joined(candidate, model, encoder)
    if candidate.name in ("plain", "one_by_one"):
        copying = replace(candidate, copies=True)
        try:
            _check_completions(copying.build(model, encoder), reference)
            candidate = copying
        except torch.OutOfMemoryError:
            raise
        except Exception:
            _check_completions(path, reference)
    else:
        _check_completions(path, reference)
    names: list[PathName] = [] if candidate.name == "one_by_one" else ["plain", "one_by_one"]
    fallbacks = [PathChoice(name, typed=candidate.typed) for name in names]
    able = (one.name for one in (candidate, *fallbacks) if _takes_several(one.build(model, encoder), reference))
    return replace(candidate, several=next(able, None))


@torch.no_grad()
def _checked_joined(candidate: PathChoice, model: Any, encoder: ChatEncoder) -> PathChoice:
    """Prefixes and suffixes in one pass, against prefixes in a cache: the mask that agrees."""
    path = FastPath(Decoder(model, encoder.images), encoder)
    batch = path.encode_groups(probe_groups(), "prompt", "image").to(model.device)
    prefixes, suffixes = path.prefixes(batch), batch.suffixes
    masks = prefixes.mask, suffixes.mask
    expected = torch.cat([x[m] for x, m in zip(path.decoder.run_shared(prefixes, suffixes), masks, strict=True)])
    for blocks in get_args(ImageBlocks):
        joined = Decoder(model, encoder.images, blocks=blocks).run_shared(prefixes, suffixes, joined=True)
        found = torch.cat([x[m] for x, m in zip(joined, masks, strict=True)])
        try:
            _compare(found, expected, "states of one pass", _tolerance(model))
            return replace(candidate, blocks=blocks)
        except Disagreement as error:
            reason = error
    raise reason


def _check_completions(path: ModelPath, reference: Reference) -> None:
    first, second, _ = probe_images()
    long = GenerationRequest(CHATS[0][0][0].text, second, answer_prefix="It")
    requests = [GenerationRequest("Where?", first), long, GenerationRequest("Why?")]
    for request, completions in zip(requests, path.generate(requests, GREEDY, len(requests)), strict=True):
        tokens, leads = reference.completion(request)
        # where two tokens are equally likely, rounding decides
        sure = next((n for n, lead in enumerate(leads) if lead < _tolerance(reference.model)), len(leads))
        for one in completions:
            if one[:sure] != tokens[:sure]:
                raise Disagreement(f"completions differ {'with' if request.image else 'without'} an image")


def _takes_several(path: ModelPath, reference: Reference) -> bool:
    """Whether a conversation with two images, of equal or of unequal size, gives the logits of a plain forward."""
    first, second, third = probe_images()
    for pair in ((first, third), (first, second)):
        try:
            states, _, _ = path.answer_states([[CHATS[0][0]]], [pair])
            expected = reference.logits(CHATS[0][0], pair)[0]
            _compare(path.logits(states), expected, "two images", _tolerance(reference.model))
        except torch.OutOfMemoryError:
            raise
        except Exception:
            return False
    return True


def _tolerance(model: Any) -> float:
    exact = model.dtype == torch.float32 and not torch.is_autocast_enabled(model.device.type)
    return _FLOAT32 if exact and not getattr(model, "is_quantized", False) else _HALF


def _compare(found: Tensor, expected: Tensor, what: str, tolerance: float) -> None:
    if found.shape != expected.shape:
        raise Disagreement(f"{what}: {tuple(found.shape)} numbers instead of {tuple(expected.shape)}")
    spread = expected - expected.mean(-1, keepdim=True)
    difference = float((found - expected).norm() / spread.norm())
    if not difference <= tolerance:
        raise Disagreement(f"{what} differ by {difference:.2g}")


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
    slower: list[PathName] = ["plain", "one_by_one"]
    plain, simple = (replace(choice, name=name, copies=False) for name in slower)
    candidates = [choice, *(one for one in (plain, simple) if one.name != choice.name)]
    if choice.name == "one_by_one":
        candidates = [choice]
    with mode(network, True), torch.enable_grad():
        try:
            expected = _training_values(network, model, simple.build(model, encoder))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            raise LVLMError(f"{encoder.name}: {type(model).__name__} cannot be trained: {_line(error)}") from error
        reasons = list[str]()
        for candidate in candidates:
            try:
                found = _training_values(network, model, candidate.build(model, encoder))
                for what, mine, theirs in zip(("log-probabilities", "gradients"), found, expected, strict=True):
                    _compare(mine, theirs, f"{what} of training", _tolerance(model))
            except torch.OutOfMemoryError:
                raise
            except Exception as error:
                reasons.append(f"not {_label(candidate)}: {_line(error)}")
                continue
            if candidate.name != choice.name:
                rank_zero_info(f"{encoder.name}: trains on the {_label(candidate)} path ({'; '.join(reasons)})")
            return replace(candidate, reason="; ".join(reasons))
    raise LVLMError(f"{encoder.name}: {type(model).__name__} cannot be trained: {'; '.join(reasons)}")


def _training_values(network: nn.Module, model: Any, path: ModelPath) -> tuple[Tensor, Tensor]:
    """Log-probabilities of the targets of two groups and two records, and gradients of their sum for some weights."""
    groups = path.encode_groups(probe_groups(), "prompt", "image").to(model.device)
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
