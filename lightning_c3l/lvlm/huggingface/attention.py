"""Attention masks for prompts, for suffixes that share a prefix, and for completions during generation.

The suffixes of one prefix lie side by side in a row and do not attend to each other, so the prefix is neither run nor
kept once per suffix. Only the mask tells them apart, a 4-dimensional one, which every decoder of transformers takes.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

# in no layer; in all layers, within their windows (Gemma 3); in layers with a window (Gemma 4); in all layers, beyond
# their windows (Gemma 4 Unified)
ImageBlocks = Literal["none", "all", "sliding", "beyond"]
SHARED = 0
PADDING = -1


@dataclass(frozen=True)
class TokenLayout:
    """What the tokens of B rows belong to.

    Attributes:
        index: of a token in its own text, prefix included, [B, L].
        suffix: k >= 1 if only suffix k attends to the token, `SHARED` for the prefix, or `PADDING`, [B, L].
        image: number of the image that a token belongs to, from 1; 0 for text, [B, L].
    """

    index: Tensor
    suffix: Tensor
    image: Tensor

    def followed_by(self, others: "TokenLayout") -> "TokenLayout":
        """These tokens, followed by others in the same rows."""
        return TokenLayout(
            torch.cat([self.index, others.index], dim=1),
            torch.cat([self.suffix, others.suffix], dim=1),
            torch.cat([self.image, others.image], dim=1),
        )


def visible(
    queries: TokenLayout,
    keys: TokenLayout,
    window: int | None = None,
    blocks: bool = False,
    beyond: bool = False,
) -> Tensor:
    """Which keys each query attends to, bool [B, Q, K].

    Args:
        queries: the last Q of the keys.
        keys: all K tokens of each row.
        window: number of tokens of its own text that a query attends to in sliding-window layers, itself included.
        blocks: tokens of one image attend to each other in both directions.
        beyond: they do so beyond the window as well.
    """
    q, k = queries.suffix[:, :, None], keys.suffix[:, None, :]
    first = keys.suffix.shape[1] - queries.suffix.shape[1]
    order = torch.arange(keys.suffix.shape[1], device=k.device)
    attended = order[None, :] <= order[first:, None]
    if blocks:
        same = queries.image[:, :, None] == keys.image[:, None, :]
        block = same & (queries.image[:, :, None] > 0)
        attended = attended | block
    attended = attended & ((k == SHARED) | ((k == q) & (k > SHARED)))
    if window is not None:
        near = keys.index[:, None, :] > queries.index[:, :, None] - window
        attended = attended & (near | block if blocks and beyond else near)
    # a query without any key would give NaN in the softmax and, through padding, in gradients
    return attended | ((q == PADDING) & (order == 0))


def attention_mask(decoder: Any, queries: TokenLayout, keys: TokenLayout, blocks: ImageBlocks = "none") -> Any:
    """The mask [B, 1, Q, K] that a decoder of transformers takes, or a dict of one per layer type.

    Args:
        decoder: with the configuration.
        queries: the last Q of the keys.
        keys: all K tokens of each row.
        blocks: where the tokens of one image attend to each other in both directions.
    """
    config = decoder.config
    types = set(getattr(config, "layer_types", None) or ())
    window = getattr(config, "sliding_window", None)
    if "sliding_attention" in types:
        full = _for_decoder(config, visible(queries, keys, None, blocks in ("all", "beyond")))
        sliding = _for_decoder(config, visible(queries, keys, window, blocks != "none", blocks == "beyond"))
        return {"full_attention": full, "sliding_attention": sliding}
    # without layer types (Mistral), the window applies to every layer; with them, to none of these
    return _for_decoder(config, visible(queries, keys, None if types else window, blocks != "none"))


def _for_decoder(config: Any, attended: Tensor) -> Tensor:
    mask = attended[:, None]
    if config._attn_implementation != "eager":
        return mask
    # eager attention adds the mask to the scores
    return torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, torch.finfo(torch.float32).min)
