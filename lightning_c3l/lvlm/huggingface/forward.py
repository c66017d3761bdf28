"""Forward passes over decoder rows: plain, and with the image's part shared by all rows that continue it."""

from typing import Any

import torch
from torch import Tensor, nn

from lightning_c3l.lvlm.base import Branches


def plain_hidden(model: Any, ids: Tensor, mask: Tensor, pixels: dict[str, Tensor]) -> Tensor:
    """Last hidden layer [B, L, H] of padded rows, whichever side they are padded on."""
    position_ids = (mask.long().cumsum(-1) - 1).clamp_min(0)
    out = model.base_model(
        input_ids=ids, attention_mask=mask.long(), position_ids=position_ids, use_cache=False, **pixels
    )
    return out.last_hidden_state  # type: ignore[no-any-return]  # transformers outputs are untyped here


def shared_hidden(model: Any, trunk: dict[str, Tensor], branches: Branches) -> tuple[Tensor, Tensor]:
    """Run each trunk once and let its branches continue from the cache; exact, and differentiable.

    Args:
        model: the transformers model.
        trunk: left-padded `input_ids` and `attention_mask` [G, P] with the pixel tensors of G images.
        branches: R rows that continue the trunks.

    Returns:
        Hidden states of the trunks [G, P, H] and of the branches [R, L, H].
    """
    mask = trunk["attention_mask"]
    position_ids = (mask.long().cumsum(-1) - 1).clamp_min(0)
    first = model.base_model(**trunk, position_ids=position_ids, use_cache=True)
    cache = first.past_key_values
    cache.batch_select_indices(branches.owner)
    whole = torch.cat([mask[branches.owner].long(), branches.mask.long()], dim=1)
    lengths = mask.sum(-1)[branches.owner]
    positions = lengths[:, None] + torch.arange(branches.ids.shape[1], device=lengths.device)
    second = model.base_model(
        input_ids=branches.ids,
        attention_mask=whole,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
    )
    return first.last_hidden_state, second.last_hidden_state


def predicting_states(hidden: Tensor, target: Tensor) -> Tensor:
    """Hidden states [M, H] that predict the tokens marked in `target` [R, L]: those one position before each.

    Raises:
        ValueError: if a row's first token is marked, which nothing before it predicts.
    """
    if bool(target[:, 0].any()):
        raise ValueError("the first token of a row cannot be a target: nothing before it predicts it")
    return hidden[:, :-1][target[:, 1:]]


def token_logp(head: nn.Module, hidden: Tensor, ids: Tensor, target: Tensor) -> Tensor:
    """Log-probabilities [R, L] of the marked tokens, 0 elsewhere; the head runs on marked positions only."""
    logits = head(predicting_states(hidden, target)).float()
    chosen = -nn.functional.cross_entropy(logits, ids[target], reduction="none")
    out = torch.zeros(ids.shape, dtype=chosen.dtype, device=ids.device)
    return out.masked_scatter(target, chosen)
