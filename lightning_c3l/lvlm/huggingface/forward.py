"""Forward passes over token rows: plain, and with a prefix that several suffixes share run once.

All passes go through the decoder with embeddings, masks and positions that are made here, so that every family takes
one path and image features may come from a cache.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.batches import TokenRows
from lightning_c3l.lvlm.huggingface.attention import PADDING, SHARED, TokenLayout, attention_mask
from lightning_c3l.lvlm.huggingface.images import EncodedImage, ImageEncoder, Pixels


@dataclass(frozen=True)
class PromptRows:
    """B right-padded token rows with the features of their images.

    Attributes:
        ids: tokens, [B, L].
        mask: True at tokens, [B, L].
        features: one vector per image token, row by row, [M, H]; None if no row has an image.
        grid: tensors that positions are computed from, such as `image_grid_thw`.
    """

    ids: Tensor
    mask: Tensor
    features: Tensor | None
    grid: Pixels


def prompt_rows(ids: Tensor, mask: Tensor, images: Sequence[EncodedImage]) -> PromptRows:
    """Rows with the features of their images, given row by row; rows with and without images may be mixed."""
    if not images:
        return PromptRows(ids, mask, None, {})
    grid = {name: torch.cat([one.grid[name] for one in images]).to(ids.device) for name in images[0].grid}
    return PromptRows(ids, mask, torch.cat([one.features for one in images]), grid)


class Decoder:
    """The decoder of an LVLM, fed with embeddings.

    Args:
        model: the transformers model.
        images: its image encoder, which knows the image token.
    """

    def __init__(self, model: Any, images: ImageEncoder) -> None:
        self.model, self.images = model, images
        self.decoder = model.get_decoder()
        config = model.config
        # Gemma 3: the tokens of one image attend to each other in both directions
        self.blocks = config.model_type == "gemma3"
        self.text = config.get_text_config()
        # Qwen2-VL and its kin place images on a grid of three axes
        self.grid_positions = hasattr(model.base_model, "get_rope_index")

    @property
    def checkpointing(self) -> bool:
        """Whether gradient checkpointing is active, which rules out a key-value cache."""
        flags = (getattr(part, "gradient_checkpointing", False) for part in self.decoder.modules())
        return bool(self.model.training and any(flags))

    def features(self, pixels: Pixels) -> Tensor:
        """Features of images from their pixel tensors, [M, H]; without a graph if the vision tower is frozen."""
        return self.images.features(self.model, pixels)

    def embed(self, ids: Tensor, features: Tensor | None) -> Tensor:
        """Embeddings [B, L, H], with image features in place of the image tokens.

        Args:
            ids: tokens, [B, L].
            features: one vector per image token, row by row, [M, H]; None without images.

        Raises:
            LVLMError: if the numbers of image tokens and features differ.
        """
        is_image = ids == self.images.token
        # the image token may lie outside the embedding table
        embeds = self.model.get_input_embeddings()(ids.masked_fill(is_image, 0))
        self.images.check(int(is_image.sum()), 0 if features is None else len(features))
        if features is None:
            return embeds  # type: ignore[no-any-return]
        return embeds.masked_scatter(is_image[..., None], features.to(embeds.dtype))  # type: ignore[no-any-return]

    def layout(self, prompts: PromptRows) -> TokenLayout:
        """Layout of rows without suffixes."""
        index = torch.arange(prompts.ids.shape[1], device=prompts.ids.device).expand_as(prompts.ids)
        is_image = prompts.ids == self.images.token
        begins = is_image & ~nn.functional.pad(is_image, (1, 0))[:, :-1]
        image = torch.where(is_image, begins.long().cumsum(1), 0)
        return TokenLayout(index, torch.where(prompts.mask, SHARED, PADDING), image)

    def positions(self, prompts: PromptRows) -> tuple[Tensor, Tensor]:
        """Rotary positions of rows, [B, L], or [3, B, L] if images lie on a grid, and the next one of each row, [B]."""
        ids, lengths = prompts.ids, prompts.mask.long().sum(1)
        if not self.grid_positions or prompts.features is None:
            return torch.arange(ids.shape[1], device=ids.device).expand_as(ids), lengths
        kinds = (ids == self.images.token).int()
        rope = self.model.base_model.get_rope_index
        positions, delta = rope(ids, mm_token_type_ids=kinds, attention_mask=prompts.mask.long(), **prompts.grid)
        return positions, lengths + delta.squeeze(1)

    def run_rows(self, prompts: PromptRows, cache: Cache | None = None) -> tuple[Tensor, Tensor]:
        """Hidden states of rows, [B, L, H], and the next position of each, [B]."""
        positions, following = self.positions(prompts)
        mask = None
        # rows are right-padded: under the causal mask no token attends to padding, and attention may skip half
        if self.blocks and prompts.features is not None:
            layout = self.layout(prompts)
            mask = attention_mask(self.decoder, layout, layout, self.blocks)
        return self.run(self.embed(prompts.ids, prompts.features), positions, mask, cache), following

    def run(self, embeds: Tensor, positions: Tensor, mask: Any, cache: Cache | None = None) -> Tensor:
        """Last hidden layer, [B, L, H].

        Args:
            embeds: [B, L, H].
            positions: rotary positions, [B, L] or [3, B, L].
            mask: from `attention_mask`; None for the causal one.
            cache: keys and values of earlier tokens, to which these are appended.

        Raises:
            LVLMError: if a cache is given under gradient checkpointing, which would drop it.
        """
        if cache is not None and self.checkpointing:
            raise LVLMError(
                f"{self.images.name}: generating under gradient checkpointing needs the network in eval mode"
            )
        out = self.decoder(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return out.last_hidden_state  # type: ignore[no-any-return]

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
        packed = pack(suffixes, len(prefixes.ids))
        positions, following = self.positions(prefixes)
        own = following[:, None] + packed.offset
        behind = TokenLayout(
            prefixes.mask.long().sum(1, keepdim=True) + packed.offset, packed.suffix, torch.zeros_like(packed.suffix)
        )
        everything = self.layout(prefixes).followed_by(behind)
        if positions.ndim > own.ndim:
            own = own.expand(len(positions), *own.shape)
        if joined or self.checkpointing:
            embeds = torch.cat([self.embed(prefixes.ids, prefixes.features), self.embed(packed.ids, None)], dim=1)
            mask = attention_mask(self.decoder, everything, everything, self.blocks)
            hidden = self.run(embeds, torch.cat([positions, own], dim=-1), mask)
            first, second = torch.split(hidden, [prefixes.ids.shape[1], packed.ids.shape[1]], dim=1)
        else:
            cache = DynamicCache()
            first, _ = self.run_rows(prefixes, cache)
            mask = attention_mask(self.decoder, behind, everything)
            second = self.run(self.embed(packed.ids, None), own, mask, cache)
        return first, second.flatten(0, 1)[packed.slot]

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits in float32, [..., V]."""
        return self.model.get_output_embeddings()(hidden).float()  # type: ignore[no-any-return]

    def token_logp(self, hidden: Tensor, ids: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities of the target tokens, [R, L], 0 elsewhere; the head runs on their positions only."""
        chosen = chosen_logp(self.logits(predicting_states(hidden, target)), ids[target])
        out = torch.zeros(ids.shape, dtype=chosen.dtype, device=ids.device)
        return out.masked_scatter(target, chosen)


@dataclass(frozen=True)
class Packed:
    """Suffixes side by side, in one row per prefix.

    Attributes:
        ids: tokens, [G, M].
        offset: index of a token in its own suffix, [G, M].
        suffix: number of its suffix in the row, from 1, or `PADDING`, [G, M].
        slot: index in the flattened rows of each token of the suffixes, [R, L].
    """

    ids: Tensor
    offset: Tensor
    suffix: Tensor
    slot: Tensor


def pack(suffixes: TokenRows, rows: int) -> Packed:
    """Put the suffixes of each of so many prefixes side by side."""
    mask, owner = suffixes.mask, suffixes.owner
    lengths = mask.long().sum(1)
    before = torch.tril((owner[:, None] == owner[None, :]).long(), -1)
    start, number = before @ lengths, before.sum(1) + 1
    total = torch.zeros(rows, dtype=torch.long, device=owner.device).index_add(0, owner, lengths)
    width = int(total.max()) if len(owner) else 0
    column = torch.arange(mask.shape[1], device=owner.device).expand_as(mask)
    slot = ((owner * width + start)[:, None] + column).masked_fill(~mask, 0)

    def spread(values: Tensor, fill: int) -> Tensor:
        flat = torch.full((rows * width,), fill, dtype=torch.long, device=owner.device)
        return flat.index_put((slot[mask],), values[mask]).view(rows, width)

    return Packed(
        ids=spread(suffixes.ids, 0),
        offset=spread(column, 0),
        suffix=spread(number[:, None].expand_as(mask), PADDING),
        slot=slot,
    )


def predicting_states(hidden: Tensor, target: Tensor) -> Tensor:
    """Hidden states [M, H] that predict the M tokens marked in `target` [R, L]: those one position before them.

    Raises:
        ValueError: if the first token of a row is marked.
    """
    if bool(target[:, 0].any()):
        raise ValueError("the first token of a row cannot be a target: nothing before it predicts it")
    return hidden[:, :-1][target[:, 1:]]


def chosen_logp(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probability of each token, [M], under its logits [M, V]."""
    return -nn.functional.cross_entropy(logits, ids, reduction="none")
