"""Rows as the model's own processor encodes them, and plain forwards over them, which every model can do.

Rows are left-padded. Whatever the processor puts for an image, the tokens from an answer to the end of its row are
those of the text alone, so answers are found from the end.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from PIL.Image import Image
from torch import Tensor, nn

from lightning_c3l.lvlm.base import ConversationError, ImageError, Images, LVLMError
from lightning_c3l.lvlm.batches import ModelInputs
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder, EncodedChat
from lightning_c3l.lvlm.huggingface.hidden_layers import layer_output
from lightning_c3l.lvlm.huggingface.output_head import output_embedding
from lightning_c3l.records import Turn

# what a processor raises for an image or a text that it does not take
_REFUSALS = (ValueError, TypeError, KeyError, RuntimeError, OSError, IndexError, AttributeError, ZeroDivisionError)

Illustrated = tuple[Sequence[Turn], Images]


@dataclass(frozen=True)
class PlainRows:
    """R left-padded conversations.

    Attributes:
        parts: the rows as inputs of the model; those with images apart from those without.
        ids: tokens, [R, L].
        mask: True at tokens, [R, L].
        answer: True at the tokens of the assistant's texts, [R, L].
        target: True at these and at the assistant's end-of-turn tokens, [R, L].
        lengths: number of tokens of each answer, by row.
    """

    parts: list[ModelInputs]
    ids: Tensor
    mask: Tensor
    answer: Tensor
    target: Tensor
    lengths: list[list[int]]


def encode_rows(encoder: ChatEncoder, conversations: Sequence[Illustrated], size: int) -> PlainRows:
    """Encode conversations with their images.

    Args:
        encoder: renders the chat template; its processor does the rest.
        conversations: turns and images.
        size: largest number of rows that go through the model at the same time.

    Raises:
        ConversationError: if a conversation exceeds the context or the processor changes an answer.
        ImageError: if the processor does not accept an image.
    """
    rendered = [encoder.render(turns, len(images)) for turns, images in conversations]
    parts = _parts(encoder, [one.text for one in rendered], [images for _, images in conversations], size)
    length = max(part.inputs["input_ids"].shape[1] for part in parts)
    if encoder.context is not None and length > encoder.context:
        raise ConversationError(
            f"a conversation of {length} tokens, images included, is longer than the model's context of "
            f"{encoder.context}"
        )
    shape = (len(conversations), length)
    ids, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.bool)
    for part in parts:
        width = part.inputs["input_ids"].shape[1]
        ids[part.rows, length - width :] = part.inputs["input_ids"]
        mask[part.rows, length - width :] = part.inputs["attention_mask"].bool()
    answer, target, lengths = torch.zeros_like(mask), torch.zeros_like(mask), list[list[int]]()
    for row, text in enumerate(rendered):
        chat = encoder.tokenize(text)
        lengths.append(chat.answer_lengths)
        for start, at, stop in _locate_answers(ids[row].tolist(), chat, encoder.placeholder_ids):
            answer[row, at : at + stop - start] = torch.tensor(chat.answer[start:stop])
            target[row, at : at + stop - start] = torch.tensor(chat.target[start:stop])
    if encoder.answers_are_typed:
        _type_answers(parts, target)
    return PlainRows(parts, ids, mask, answer, target, lengths)


def _parts(encoder: ChatEncoder, texts: Sequence[str], images: Sequence[Images], size: int) -> list[ModelInputs]:
    """Rows as inputs of the model, at most `size` at the same time, those with images apart from those without."""
    parts, rows = list[ModelInputs](), range(len(texts))
    for has_images in (True, False):
        waiting = [row for row in rows if bool(images[row]) == has_images]
        for start in range(0, len(waiting), size):
            own = waiting[start : start + size]
            own_texts, own_images = [texts[row] for row in own], [images[row] for row in own]
            try:
                parts.append(ModelInputs(torch.tensor(own), processor_inputs(encoder, own_texts, own_images)))
            except ImageError:
                if len(own) == 1:
                    raise
                # images that a processor accepts, but not together: those of unequal numbers of tiles, for instance
                for row, text, of_row in zip(own, own_texts, own_images, strict=True):
                    parts.append(ModelInputs(torch.tensor([row]), processor_inputs(encoder, [text], [of_row])))
    return parts


def _locate_answers(row: Sequence[int], chat: EncodedChat, placeholder: Sequence[int]) -> list[tuple[int, int, int]]:
    """Where the texts from the first answer on are in a row: start in the chat, start in the row, stop in the chat.

    Args:
        row: tokens, image tokens included.
        chat: the same conversation, with placeholders.
        placeholder: tokens that stand for an image in the chat.

    Raises:
        ConversationError: if the processor changes a text other than by replacing placeholders.
    """
    starts, stop, size = (
        [chat.target.index(True) if True in chat.target else len(chat.ids)],
        len(chat.ids),
        len(placeholder),
    )
    ends = [n for n in range(starts[0], stop) if size and chat.ids[n : n + size] == tuple(placeholder)]
    pieces = zip([*starts, *(end + size for end in ends)], [*ends, stop], strict=True)
    limit, found = len(row), list[tuple[int, int, int]]()
    for begin, end in reversed([piece for piece in pieces if True in chat.target[slice(*piece)]]):
        # from its first answer on: a processor may write a blank behind an image (Idefics2)
        start = chat.target.index(True, begin)
        wanted = list(chat.ids[start:end])
        at = next((n for n in range(limit - len(wanted), -1, -1) if row[n : n + len(wanted)] == wanted), None)
        if at is None:
            raise ConversationError("the processor does not leave an answer as the chat template renders it")
        found.append((start, at, end))
        limit = at
    return found


def _type_answers(parts: Sequence[ModelInputs], target: Tensor) -> None:
    """Tell prompts, whose tokens see each other, from answers by `token_type_ids`, as PaliGemma needs it."""
    answered = target.long().cumsum(1) > 0
    for part in parts:
        width = part.inputs["input_ids"].shape[1]
        part.inputs["token_type_ids"] = answered[part.rows, -width:].long()


def processor_inputs(encoder: ChatEncoder, texts: Sequence[str], images: Sequence[Images]) -> dict[str, Any]:
    """Inputs of the model for rendered conversations, which all have images or all have none; left-padded.

    Raises:
        ImageError: if the processor does not accept an image.
    """
    options: dict[str, Any] = {"return_tensors": "pt", "padding": True, "padding_side": "left"}
    options["add_special_tokens"] = encoder.adds_special_tokens(texts[0])
    if any(images):
        try:
            out = encoder.processor(text=list(texts), images=[list(own) for own in images], **options)
        except torch.OutOfMemoryError:
            raise
        except _REFUSALS as error:
            sizes = ", ".join(f"{image.width}x{image.height}" for own in images[:4] for image in own)
            raise ImageError(
                f"{encoder.name}: the processor does not accept an image ({sizes} pixels): {error}"
            ) from error
    else:
        try:
            out = encoder.processor(text=list(texts), **options)
        except _REFUSALS:
            # some processors want an image
            out = encoder.tokenizer(list(texts), **options)
    return dict(out)


def accepted_names(model: Any) -> set[str]:
    """Names of the inputs that a model's forward or its vision tower takes; PaliGemma's processor makes labels too."""
    functions = [model.forward, model.base_model.forward, getattr(model.base_model, "get_image_features", None)]
    return {name for one in functions if one is not None for name in inspect.signature(one).parameters} - {"labels"}


def to_model(model: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs that a model takes, tensors on its device and, if they are numbers of a pixel, in its precision."""
    names, device, dtype = accepted_names(model), model.device, model.dtype
    taken = {name: value for name, value in inputs.items() if name in names}
    if "mm_token_type_ids" in names and "mm_token_type_ids" not in taken:
        # not every processor gives the kinds of tokens that its model cannot do without
        taken["mm_token_type_ids"] = (taken["input_ids"] == model.config.image_token_id).int()
    return {
        name: value.to(device, dtype if value.is_floating_point() else None) if isinstance(value, Tensor) else value
        for name, value in taken.items()
    }


@dataclass
class _Seen:
    """Input of the output embedding, [R, L, H]."""

    states: Tensor | None = None


@contextmanager
def _output_positions(model: Any, keep: Tensor) -> Iterator[_Seen]:
    """Within this context, logits are computed at these positions only, [1, M, V], and hidden states are noted.

    Not every forward has `logits_to_keep`, and what a model does with its logits afterwards stays its own code.
    """
    seen, head = _Seen(), output_embedding(model)

    def select(_: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        # a model may put more positions before the row for an image than the row has tokens for it
        seen.states = inputs[0][:, -keep.shape[1] :]
        return (seen.states[keep][None], *inputs[1:])

    hook = head.register_forward_pre_hook(select)
    try:
        yield seen
    finally:
        hook.remove()


def forward_rows(
    model: Any, parts: Sequence[ModelInputs], target: Tensor, layer: int | None = None
) -> tuple[Tensor, Tensor]:
    """Plain forwards over left-padded rows, with gradients.

    Args:
        model: the transformers model.
        parts: all rows.
        target: True at the M tokens whose next-token logits are computed, [R, L].
        layer: the layer, counted from 1, whose hidden states are returned; None for what the output embedding reads.

    Returns:
        Logits that predict the targets in float32, [M, V], row by row, and hidden states, [R, L, H].
    """
    rows, logits, states = list[int](), list[Tensor](), list[Tensor]()
    for part in parts:
        inputs = to_model(model, part.inputs)
        width = inputs["input_ids"].shape[1]
        own = target[part.rows.to(target.device)][:, -width:].to(model.device)
        keep = nn.functional.pad(own[:, 1:], (0, 1))
        with layer_output(model, layer) as outputs, _output_positions(model, keep) as seen:
            out = model(**inputs, use_cache=False).logits[0].float()
        if seen.states is None:
            raise LVLMError(f"{type(model).__name__}: its logits do not come from its output embedding")
        rows += part.rows.tolist()
        logits += out.split(keep.sum(1).tolist())
        found = outputs[0][:, -width:] if outputs else seen.states
        states.append(nn.functional.pad(found, (0, 0, target.shape[1] - width, 0)))
    order = sorted(range(len(rows)), key=rows.__getitem__)
    return torch.cat([logits[n] for n in order]), torch.cat(states)[torch.tensor(order, device=model.device)]


def unsupported_images(encoder: ChatEncoder, images: Sequence[Image]) -> list[str]:
    """Error message per image, '' if the processor accepts it and a prompt with it fits into the context."""
    out = list[str]()
    for image in images:
        try:
            encode_rows(encoder, [((Turn("user", "a"),), (image,))], 1)
            out.append("")
        except (ImageError, ConversationError) as error:
            out.append(str(error))
    return out
