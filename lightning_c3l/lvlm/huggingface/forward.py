"""Forward passes over token rows: plain, and with the part that several texts share run once.

All passes go through the decoder with embeddings, masks and positions of our own making: so every family shares one
path, and the vision tower's features may come from wherever they were computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.batches import Branches
from lightning_c3l.lvlm.huggingface.attention import PADDING, SHARED, Places, attention_mask
from lightning_c3l.lvlm.huggingface.images import ImageEncoder, Pixels, Seen


@dataclass(frozen=True)
class Prompts:
    """B right-padded token rows, with what their images look like.

    Attributes:
        ids: tokens, [B, L].
        mask: True at tokens, [B, L].
        features: one vector for each image token, row by row, [M, H]; None where no row has an image.
        grid: tensors that positions are computed from.
    """

    ids: Tensor
    mask: Tensor
    features: Tensor | None
    grid: Pixels


def prompts_of(ids: Tensor, mask: Tensor, seen: Sequence[Seen]) -> Prompts:
    """Rows with the features of their images, in the order of the rows; rows with and without may be mixed."""
    if not seen:
        return Prompts(ids, mask, None, {})
    grid = {name: torch.cat([one.grid[name] for one in seen]).to(ids.device) for name in seen[0].grid}
    return Prompts(ids, mask, torch.cat([one.features for one in seen]), grid)


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
        # Gemma 3: the tokens of one image see each other
        self.blocks = config.model_type == "gemma3"
        self.text = config.get_text_config()
        # Qwen2-VL and its kin place images on a grid of three axes
        self.grid_positions = hasattr(model.base_model, "get_rope_index")

    @property
    def checkpointing(self) -> bool:
        """Whether gradient checkpointing is on and acts now, which forbids a cache."""
        flags = (getattr(part, "gradient_checkpointing", False) for part in self.decoder.modules())
        return bool(self.model.training and any(flags))

    def features(self, pixels: Pixels) -> Tensor:
        """Features of the images behind these pixel tensors, [M, H]; without a graph where the tower is frozen."""
        return self.images.features(self.model, pixels)

    def embed(self, ids: Tensor, features: Tensor | None) -> Tensor:
        """Embeddings [B, L, H], the images' features in the place of their tokens.

        Raises:
            LVLMError: if the numbers of image tokens and features differ.
        """
        spots = ids == self.images.token
        # the image's token may lie outside the embedding table
        embeds = self.model.get_input_embeddings()(ids.masked_fill(spots, 0))
        self.images.check(int(spots.sum()), 0 if features is None else len(features))
        if features is None:
            return embeds  # type: ignore[no-any-return]
        return embeds.masked_scatter(spots[..., None], features.to(embeds.dtype))  # type: ignore[no-any-return]

    def places(self, prompts: Prompts) -> Places:
        """Where the tokens of whole rows stand."""
        place = torch.arange(prompts.ids.shape[1], device=prompts.ids.device).expand_as(prompts.ids)
        branch = torch.where(prompts.mask, SHARED, PADDING)
        spots = prompts.ids == self.images.token
        begins = spots & ~nn.functional.pad(spots, (1, 0))[:, :-1]
        return Places(place, branch, torch.where(spots, begins.long().cumsum(1), 0))

    def positions(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Rotary positions of whole rows ([B, L], or [3, B, L] where images lie on a grid), and the next one, [B]."""
        ids, lengths = prompts.ids, prompts.mask.long().sum(1)
        if not self.grid_positions or prompts.features is None:
            return torch.arange(ids.shape[1], device=ids.device).expand_as(ids), lengths
        kinds = (ids == self.images.token).int()
        rope = self.model.base_model.get_rope_index
        positions, delta = rope(ids, mm_token_type_ids=kinds, attention_mask=prompts.mask.long(), **prompts.grid)
        return positions, lengths + delta.squeeze(1)

    def whole_rows(self, prompts: Prompts, cache: Cache | None = None) -> tuple[Tensor, Tensor]:
        """Hidden states [B, L, H] of whole rows, and the position that follows each, [B]."""
        positions, following = self.positions(prompts)
        mask = None
        # rows are padded on the right, so without a mask nothing real looks at padding, and attention may skip half
        if self.blocks and prompts.features is not None:
            places = self.places(prompts)
            mask = attention_mask(self.decoder, places, places, self.blocks)
        return self.run(self.embed(prompts.ids, prompts.features), positions, mask, cache), following

    def run(self, embeds: Tensor, positions: Tensor, mask: Any, cache: Cache | None = None) -> Tensor:
        """Last hidden layer, [B, L, H].

        Raises:
            LVLMError: if a cache is wanted while gradient checkpointing, which drops it, is on.
        """
        if cache is not None and self.checkpointing:
            raise LVLMError(f"{self.images.name}: writing under gradient checkpointing needs the network in eval mode")
        out = self.decoder(
            inputs_embeds=embeds,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        )
        return out.last_hidden_state  # type: ignore[no-any-return]

    def shared(self, trunk: Prompts, branches: Branches, joined: bool = False) -> tuple[Tensor, Tensor]:
        """Run each trunk once and let its branches continue from it; exact, and differentiable.

        Args:
            trunk: G rows that branches continue.
            branches: R rows, each the continuation of one trunk.
            joined: one pass over trunk and branches under a block mask, without a cache; what pays where the trunk is
                short, and what gradient checkpointing needs in any case.

        Returns:
            Hidden states of the trunks [G, P, H] and of the branches [R, L, H].
        """
        packed = pack(branches, len(trunk.ids))
        positions, following = self.positions(trunk)
        own = following[:, None] + packed.offset
        places = self.places(trunk)
        beside = Places(
            trunk.mask.long().sum(1, keepdim=True) + packed.offset, packed.branch, torch.zeros_like(packed.branch)
        )
        everything = places.followed_by(beside)
        if positions.ndim > own.ndim:
            own = own.expand(len(positions), *own.shape)
        if joined or self.checkpointing:
            embeds = torch.cat([self.embed(trunk.ids, trunk.features), self.embed(packed.ids, None)], dim=1)
            mask = attention_mask(self.decoder, everything, everything, self.blocks)
            hidden = self.run(embeds, torch.cat([positions, own], dim=-1), mask)
            first, second = torch.split(hidden, [trunk.ids.shape[1], packed.ids.shape[1]], dim=1)
        else:
            cache = DynamicCache()
            first, _ = self.whole_rows(trunk, cache)
            mask = attention_mask(self.decoder, beside, everything)
            second = self.run(self.embed(packed.ids, None), own, mask, cache)
        return first, second.flatten(0, 1)[packed.slot]

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits in float32, [..., V]."""
        return self.model.get_output_embeddings()(hidden).float()  # type: ignore[no-any-return]

    def token_logp(self, hidden: Tensor, ids: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities [R, L] of the marked tokens, 0 elsewhere; the head runs on marked positions only."""
        chosen = chosen_logp(self.logits(predicting_states(hidden, target)), ids[target])
        out = torch.zeros(ids.shape, dtype=chosen.dtype, device=ids.device)
        return out.masked_scatter(target, chosen)


@dataclass(frozen=True)
class Packed:
    """Branches side by side behind their trunks.

    Attributes:
        ids: tokens, [G, M].
        offset: number of a token in its own branch, [G, M].
        branch: number of its branch in the row, from 1, or `PADDING`, [G, M].
        slot: where each token of the branches as they were has gone, in the flattened rows, [R, L].
    """

    ids: Tensor
    offset: Tensor
    branch: Tensor
    slot: Tensor


def pack(branches: Branches, rows: int) -> Packed:
    """Put the branches of each trunk side by side."""
    mask, owner = branches.mask, branches.owner
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
        ids=spread(branches.ids, 0),
        offset=spread(column, 0),
        branch=spread(number[:, None].expand_as(mask), PADDING),
        slot=slot,
    )


def predicting_states(hidden: Tensor, target: Tensor) -> Tensor:
    """Hidden states [M, H] that predict the tokens marked in `target` [R, L]: those one position before each.

    Raises:
        ValueError: if a row's first token is marked, which nothing before it predicts.
    """
    if bool(target[:, 0].any()):
        raise ValueError("the first token of a row cannot be a target: nothing before it predicts it")
    return hidden[:, :-1][target[:, 1:]]


def chosen_logp(logits: Tensor, ids: Tensor) -> Tensor:
    """Log-probability of each token, [M], under its logits [M, V]."""
    return -nn.functional.cross_entropy(logits, ids, reduction="none")
