"""Forward passes over token rows: plain, and with a prefix that several suffixes share run once.

Tokens go through the model's own base model, together with what its vision tower returned for their images: image
features may come from a cache, and what a family does with them besides replacing embeddings is its own code.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint
from transformers import Cache, DynamicCache

from lightning_c3l.distributed.fsdp import announce_backward
from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.batches import TokenRows
from lightning_c3l.lvlm.huggingface.attention import PADDING, SHARED, ImageBlocks, TokenLayout, attention_mask
from lightning_c3l.lvlm.huggingface.hidden_layers import layer_output
from lightning_c3l.lvlm.huggingface.image_features import ImageFeatures
from lightning_c3l.lvlm.huggingface.images import EncodedImage, ImageEncoder, Pixels
from lightning_c3l.lvlm.huggingface.output_head import OutputHead
from lightning_c3l.lvlm.huggingface.packing import chosen_logp, left_padding, pack, placed, predicting_states

# logits of training held at once: 0.27 GB in float32, three times that with their softmax and its gradient
_LOGITS = 1 << 26


@dataclass(frozen=True)
class PromptRows:
    """B right-padded token rows with the features of their images.

    Attributes:
        ids: tokens, [B, L].
        mask: True at tokens, [B, L].
        features: of their image tokens, row by row; None if no row has an image.
        grid: tensors that positions are computed from, such as `image_grid_thw`.
    """

    ids: Tensor
    mask: Tensor
    features: ImageFeatures | None
    grid: Pixels


def prompt_rows(ids: Tensor, mask: Tensor, images: Sequence[EncodedImage]) -> PromptRows:
    """Rows with the features of their images, given row by row; rows with and without images may be mixed."""
    if not images:
        return PromptRows(ids, mask, None, {})
    grid = {name: torch.cat([one.grid[name] for one in images]).to(ids.device) for name in images[0].grid}
    return PromptRows(ids, mask, ImageFeatures.join([one.features for one in images]), grid)


class Decoder:
    """The decoder of an LVLM, run through the model's own forward.

    Args:
        model: the transformers model.
        images: its image encoder, which knows the image token.
        head: the step from hidden states to logits.
        blocks: where the tokens of one image attend to each other in both directions.
        copies: run each suffix behind a copy of its prefix's cache. Needed where layers carry a state, which a mask
            cannot keep apart: otherwise the suffixes of a prefix lie side by side in one row.
        layer: a layer, counted from 1, whose output is read too: states are then those of the last layer and of this
            one side by side, [..., 2 H].
    """

    def __init__(
        self,
        model: Any,
        images: ImageEncoder,
        head: OutputHead = OutputHead(),  # noqa: B008  # frozen
        blocks: ImageBlocks = "none",
        copies: bool = False,
        layer: int | None = None,
    ) -> None:
        self.model, self.images, self.head, self.blocks, self.copies = model, images, head, blocks, copies
        self.layer = layer
        self.decoder = model.get_decoder()
        self.text = model.config.get_text_config()
        # Qwen2-VL and its kin place images on a grid of three axes, Hunyuan-VL of four; 1 until an image was placed
        self.grid_positions = hasattr(model.base_model, "get_rope_index")
        self.axes = 1

    @property
    def checkpointing(self) -> bool:
        """Whether gradient checkpointing is active, which rules out a key-value cache."""
        flags = (getattr(part, "gradient_checkpointing", False) for part in self.decoder.modules())
        return bool(self.model.training and any(flags))

    def features(self, pixels: Pixels) -> ImageFeatures:
        """Features of images from their pixel tensors; without a graph if the vision tower is frozen."""
        return self.images.features(self.model, pixels)

    def layout(self, prompts: PromptRows) -> TokenLayout:
        """Layout of rows without suffixes."""
        index = torch.arange(prompts.ids.shape[1], device=prompts.ids.device).expand_as(prompts.ids)
        is_image = prompts.ids == self.images.token
        begins = is_image & ~torch.nn.functional.pad(is_image, (1, 0))[:, :-1]
        image = torch.where(is_image, begins.long().cumsum(1), 0)
        return TokenLayout(index, torch.where(prompts.mask, SHARED, PADDING), image)

    def positions(self, prompts: PromptRows) -> tuple[Tensor, Tensor]:
        """Rotary positions of rows, [B, L], or [3, B, L] if images are on a grid, and the next one of each row, [B]."""
        ids, lengths = prompts.ids, prompts.mask.long().sum(1)
        if not self.grid_positions or prompts.features is None:
            return torch.arange(ids.shape[1], device=ids.device).expand_as(ids), lengths
        kinds = (ids == self.images.token).int()
        rope = self.model.base_model.get_rope_index
        positions, delta = rope(ids, mm_token_type_ids=kinds, attention_mask=prompts.mask.long(), **prompts.grid)
        self.axes = len(positions)
        return positions, lengths + delta.squeeze(1)

    def run_rows(self, prompts: PromptRows, cache: Cache | None = None) -> tuple[Tensor, Tensor]:
        """Hidden states of rows, [B, L, H], and the next position of each, [B]."""
        positions, following = self.positions(prompts)
        # rows are right-padded: under the causal mask no token attends to padding, and attention may skip half
        return self.run(prompts.ids, positions, None, prompts.features, cache), following

    @cached_property
    def _token_types(self) -> list[str]:
        """Names under which the model takes the kind of each token, 1 for image tokens."""
        takes = inspect.signature(self.model.base_model.forward).parameters
        return [name for name in ("mm_token_type_ids", "token_type_ids", "moe_mm_token_type_ids") if name in takes]

    def run(
        self,
        ids: Tensor,
        positions: Tensor,
        mask: Any,
        features: ImageFeatures | None = None,
        cache: Cache | None = None,
    ) -> Tensor:
        """Last hidden layer, [B, L, H].

        Args:
            ids: tokens, [B, L].
            positions: rotary positions, [B, L] or [3, B, L].
            mask: from `attention_mask`, or True at tokens, [B, L]; None for right-padded rows. Unless it is from
                `attention_mask`, the model decides which tokens attend to each other.
            features: of the image tokens in `ids`.
            cache: keys and values of earlier tokens, to which these are appended.

        Raises:
            LVLMError: if a cache is given under gradient checkpointing, which would drop it, or the numbers of image
                tokens and features differ.
        """
        if cache is not None and self.checkpointing:
            raise LVLMError(
                f"{self.images.name}: generating under gradient checkpointing needs the network in eval mode"
            )
        is_image = ids == self.images.token
        self.images.check(int(is_image.sum()), 0 if features is None else len(features))
        more: dict[str, Any] = {} if features is None else {"mm_encoder_outputs": {"image": features.as_output()}}
        if features is not None and (mask is None or (isinstance(mask, Tensor) and mask.ndim == 2)):
            more |= {name: is_image.int() for name in self._token_types}
        with layer_output(self.model, self.layer) as states:
            out = self.model.base_model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=cache is not None,
                **more,
            )
        last: Tensor = out.last_hidden_state
        return torch.cat([last, *states], dim=-1) if states else last

    def run_shared(self, prefixes: PromptRows, suffixes: TokenRows, joined: bool = False) -> tuple[Tensor, Tensor]:
        """Run each prefix once, and its suffixes behind it. Exact (1e-6 in float32), and differentiable.

        Args:
            prefixes: G rows.
            suffixes: R rows, each of which continues one prefix.
            joined: run prefixes and suffixes in one pass under a block mask, without a cache. That is faster for short
                prefixes, and gradient checkpointing always does so.

        Returns:
            Hidden states of the prefixes, [G, P, H], and of the suffixes, [R, L, H].
        """
        if self.copies:
            whole = joined or self.checkpointing or torch.is_grad_enabled()
            return self._run_whole(prefixes, suffixes) if whole else self._run_copied(prefixes, suffixes)
        packed = pack(suffixes, len(prefixes.ids))
        positions, following = self.positions(prefixes)
        own = _as_positions(following[:, None] + packed.offset, positions)
        behind = TokenLayout(
            prefixes.mask.long().sum(1, keepdim=True) + packed.offset, packed.suffix, torch.zeros_like(packed.suffix)
        )
        everything = self.layout(prefixes).followed_by(behind)
        if joined or self.checkpointing:
            ids = torch.cat([prefixes.ids, packed.ids], dim=1)
            mask = attention_mask(self.decoder, everything, everything, self.blocks)
            hidden = self.run(ids, torch.cat([positions, own], dim=-1), mask, prefixes.features)
            first, second = torch.split(hidden, [prefixes.ids.shape[1], packed.ids.shape[1]], dim=1)
        else:
            cache = DynamicCache()
            first = self.run(prefixes.ids, positions, None, prefixes.features, cache)
            mask = attention_mask(self.decoder, behind, everything)
            second = self.run(packed.ids, own, mask, None, cache)
            second = announce_backward(second, first, getattr(self.decoder, "layers", ()))
        return first, second.flatten(0, 1)[packed.slot]

    def _run_copied(self, prefixes: PromptRows, suffixes: TokenRows) -> tuple[Tensor, Tensor]:
        """Each prefix once, left-padded so that its state ends with it; its suffixes behind copies of the cache."""
        positions, following = self.positions(prefixes)
        order = left_padding(prefixes.mask)
        ids, mask = prefixes.ids.gather(1, order), prefixes.mask.gather(1, order)
        cache = DynamicCache(config=self.text)
        moved = positions.gather(-1, order.expand_as(positions))
        first = self.run(ids, moved, mask.long(), prefixes.features, cache)
        cache.reorder_cache(suffixes.owner)
        offset = torch.arange(suffixes.ids.shape[1], device=ids.device)
        own = _as_positions(following[suffixes.owner][:, None] + offset, positions)
        whole = torch.cat([mask[suffixes.owner], suffixes.mask], dim=1).long()
        second = self.run(suffixes.ids, own, whole, None, cache)
        back = order.argsort(1)[..., None].expand_as(first)
        return first.gather(1, back), second

    def _run_whole(self, prefixes: PromptRows, suffixes: TokenRows) -> tuple[Tensor, Tensor]:
        """Each suffix in a row of its own, its prefix repeated before it."""
        owner, width = suffixes.owner, prefixes.ids.shape[1]
        positions, following = self.positions(prefixes)
        order = left_padding(prefixes.mask)
        ids, mask = prefixes.ids.gather(1, order), prefixes.mask.gather(1, order)
        moved = positions.gather(-1, order.expand_as(positions))
        offset = torch.arange(suffixes.ids.shape[1], device=ids.device)
        own = _as_positions(following[owner][:, None] + offset, positions)
        features = None
        if prefixes.features is not None:
            parts = prefixes.features.split((ids == self.images.token).sum(1).tolist())
            features = ImageFeatures.join([parts[index] for index in owner.tolist()])
        hidden = self.run(
            torch.cat([ids[owner], suffixes.ids], dim=1),
            torch.cat([moved[..., owner, :], own], dim=-1),
            torch.cat([mask[owner], suffixes.mask], dim=1).long(),
            features,
        )
        row = (owner[None, :] == torch.arange(len(ids), device=ids.device)[:, None]).int().argmax(1)
        first = hidden[row, :width]
        return first.gather(1, order.argsort(1)[..., None].expand_as(first)), hidden[:, width:]

    def last(self, states: Tensor) -> Tensor:
        """Those of the last layer among what was run, [..., H]."""
        return states if self.layer is None else states[..., : states.shape[-1] // 2]

    def read(self, states: Tensor) -> Tensor:
        """Those of `layer` among what was run, [..., H]; of the last one if there is none."""
        return states if self.layer is None else states[..., states.shape[-1] // 2 :]

    def logits(self, states: Tensor) -> Tensor:
        """Next-token logits in float32, [..., V]."""
        return self.head(self.model, states)

    def token_logp(self, hidden: Tensor, ids: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities of the target tokens, [R, L], 0 elsewhere.

        The head runs on their positions alone, and on so many of them at a time that memory does not grow with them:
        the backward pass computes their logits again.
        """
        states, wanted = predicting_states(hidden, target), ids[target]
        size = max(1, _LOGITS // self.text.vocab_size)
        if len(states) <= size:
            return placed(chosen_logp(self.logits(states), wanted), target)
        slices = zip(torch.split(states, size), torch.split(wanted, size), strict=True)
        parts = [checkpoint(self._chosen, *own, use_reentrant=False, preserve_rng_state=False) for own in slices]
        return placed(torch.cat(parts), target)

    def _chosen(self, states: Tensor, ids: Tensor) -> Tensor:
        return chosen_logp(self.logits(states), ids)


def _as_positions(index: Tensor, like: Tensor) -> Tensor:
    """Positions of text, [B, L], on as many axes as those of a prefix have."""
    return index if like.ndim == index.ndim else index.expand(len(like), *index.shape)
