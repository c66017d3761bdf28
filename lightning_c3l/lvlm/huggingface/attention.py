"""Which token sees which: one mask for prompts, for branches that share a prompt, and for texts being written.

Branches of one prompt stand side by side in a row and do not see each other, so the prompt is neither run nor kept
once per branch. The mask alone tells them apart, which every decoder of transformers takes as a 4-dimensional mask.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SHARED = 0
PADDING = -1


@dataclass(frozen=True)
class Places:
    """Where the tokens of B rows stand.

    Attributes:
        place: number of a token in its own text, shared part included, [B, L].
        branch: k >= 1 where branch k alone sees the token, `SHARED`, or `PADDING`, [B, L].
        block: number of the image that a token belongs to, 0 for text, [B, L].
    """

    place: Tensor
    branch: Tensor
    block: Tensor

    def followed_by(self, others: "Places") -> "Places":
        """These tokens with others after them in the same rows."""
        return Places(
            torch.cat([self.place, others.place], dim=1),
            torch.cat([self.branch, others.branch], dim=1),
            torch.cat([self.block, others.block], dim=1),
        )


def visible(queries: Places, keys: Places, window: int | None = None, blocks: bool = False) -> Tensor:
    """What each query sees, bool [B, Q, K]; the queries are the last Q of the keys.

    Args:
        queries: tokens that look.
        keys: tokens that are looked at.
        window: sliding-window layers see so many tokens of the own text, the query itself included.
        blocks: tokens of one image see each other whatever their order (Gemma 3).
    """
    q, k = queries.branch[:, :, None], keys.branch[:, None, :]
    first = keys.branch.shape[1] - queries.branch.shape[1]
    order = torch.arange(keys.branch.shape[1], device=k.device)
    earlier = order[None, :] <= order[first:, None]
    if blocks:
        same = queries.block[:, :, None] == keys.block[:, None, :]
        earlier = earlier | (same & (queries.block[:, :, None] > 0))
    seen = earlier & ((k == SHARED) | ((k == q) & (k > SHARED)))
    if window is not None:
        seen = seen & (keys.place[:, None, :] > queries.place[:, :, None] - window)
    # a query that sees nothing would give NaN in the softmax and, through padding, in gradients
    return seen | ((q == PADDING) & (order == 0))


def attention_mask(decoder: Any, queries: Places, keys: Places, blocks: bool = False) -> Any:
    """The mask in the form that a decoder of transformers takes: [B, 1, Q, K], or one for each type of layer."""
    config = decoder.config
    types = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if "sliding_attention" in types:
        full = _as_taken(config, visible(queries, keys, None, blocks))
        sliding = _as_taken(config, visible(queries, keys, window, blocks))
        return {"full_attention": full, "sliding_attention": sliding}
    # a window without layer types (Mistral) holds for every layer; with them, none of these layers has one
    return _as_taken(config, visible(queries, keys, None if types else window, blocks))


def _as_taken(config: Any, seen: Tensor) -> Tensor:
    mask = seen[:, None]
    if config._attn_implementation != "eager":
        return mask
    # eager attention adds the mask to the scores
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.float32).min)
