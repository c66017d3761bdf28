"""Masks against drawings of them, one character for each query (row) and key (column): x is seen, . is not."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Gemma3TextConfig
from transformers.models.gemma3.modeling_gemma3 import create_masks_for_vision_model as gemma3_masks
from transformers.models.gemma3.modeling_gemma3 import get_block_sequence_ids_for_mask
from transformers.models.gemma4.modeling_gemma4 import create_masks_for_vision_model as gemma4_masks

from lightning_c3l.lvlm.huggingface.attention import PADDING, SHARED, TokenLayout, attention_mask, visible

# what the drawings below are of: "t" the prefixes, "a" and "b" its suffixes, "-" padding, digits the tokens of images
KINDS = {"t": SHARED, "a": 1, "b": 2, "-": PADDING}


def row(kinds: str) -> TokenLayout:
    """One row: the prefix counts on, and so does each suffix from the prefix's end; padding has its column's index."""
    own = ["t" if kind.isdigit() else kind for kind in kinds]
    starts = {"t": 0, "a": own.count("t"), "b": own.count("t")}
    place = [n if kind == "-" else starts[kind] + own[:n].count(kind) for n, kind in enumerate(own)]
    block = [int(kind) if kind.isdigit() else 0 for kind in kinds]
    return TokenLayout(torch.tensor([place]), torch.tensor([[KINDS[kind] for kind in own]]), torch.tensor([block]))


def last(places: TokenLayout, count: int) -> TokenLayout:
    return TokenLayout(places.index[:, -count:], places.suffix[:, -count:], places.image[:, -count:])


def drawn(mask: Tensor) -> list[str]:
    return ["".join("x" if seen else "." for seen in query) for query in mask.tolist()]


DRAWINGS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "causal": ("ttt", ["x..", "xx.", "xxx"], {}),
    "suffixes see the prefixes and themselves": (
        "ttaab",
        [
            "x....",
            "xx...",
            "xxx..",
            "xxxx.",
            "xx..x",
        ],
        {},
    ),
    "suffixes of one prefix, token by token": (
        "tabab",
        [
            "x....",
            "xx...",
            "x.x..",
            "xx.x.",
            "x.x.x",
        ],
        {},
    ),
    "padding after a prefix": (
        "t-ab",
        [
            "x...",
            "x...",  # padding is nobody's, and sees what is everybody's
            "x.x.",
            "x..x",
        ],
        {},
    ),
    "padding first": (
        "-ta",
        [
            "x..",
            ".x.",
            ".xx",
        ],
        {},
    ),
    "a window of two is of the own text": (
        "ttaabab",
        [
            "x......",
            "xx.....",
            ".xx....",
            "..xx...",
            ".x..x..",  # next to the prefixes's last token, as it would be alone
            "...x.x.",
            "....x.x",
        ],
        {"window": 2},
    ),
    "padding looks at the first token through any window": (
        "tttta-",
        [
            "x.....",
            ".x....",
            "..x...",
            "...x..",
            "....x.",
            "x.....",
        ],
        {"window": 1},
    ),
    "the tokens of one image see each other": (
        "t11t22a",
        [
            "x......",
            "xxx....",
            "xxx....",
            "xxxx...",
            "xxxxxx.",
            "xxxxxx.",
            "xxxxxxx",
        ],
        {"blocks": True},
    ),
    "blocks only where they are asked for": ("t11", ["x..", "xx.", "xxx"], {}),
    # Gemma 3: a window and (causal or of one image)
    "an image wider than the window": (
        "t111a",
        [
            "x....",
            "xxxx.",
            ".xxx.",
            "..xx.",
            "...xx",
        ],
        {"window": 2, "blocks": True},
    ),
    "an image beyond the window": (
        "t111a",
        [
            "x....",
            "xxxx.",
            ".xxx.",
            ".xxx.",
            "...xx",
        ],
        {"window": 2, "blocks": True, "beyond": True},
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_masks_are_as_drawn(name: str) -> None:
    kinds, expected, options = DRAWINGS[name]
    assert drawn(visible(row(kinds), row(kinds), **options)[0]) == expected


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("count", [1, 2])
def test_the_last_queries_alone_see_the_same(name: str, count: int) -> None:
    kinds, expected, options = DRAWINGS[name]
    keys = row(kinds)
    assert drawn(visible(last(keys, count), keys, **options)[0]) == expected[-count:]


def test_rows_do_not_mix() -> None:
    one, other = row("ta-"), row("tta")
    both = TokenLayout(*(torch.cat([getattr(p, n) for p in (one, other)]) for n in ("index", "suffix", "image")))
    found = visible(both, both)
    assert drawn(found[0]) == ["x..", "xx.", "x.."]
    assert drawn(found[1]) == ["x..", "xx.", "xxx"]


def test_one_step_after_another_gives_the_whole_mask() -> None:
    """Two texts being written, the first of which ends after its second token."""
    keys, steps = row("tt"), list[str]()
    for step, kinds in enumerate((("a", "b"), ("a", "b"), ("-", "b"))):
        new = TokenLayout(
            torch.full((1, 2), 2 + step), torch.tensor([[KINDS[kind] for kind in kinds]]), torch.zeros(1, 2).long()
        )
        keys = keys.followed_by(new)
        steps += drawn(visible(new, keys)[0])
    assert steps == [
        "xxx.",
        "xx.x",
        "xxx.x.",
        "xx.x.x",
        "xx......",  # what is finished sees no text, and no text sees it
        "xx.x.x.x",
    ]


@pytest.mark.parametrize("window", [None, 1, 2, 5])
@pytest.mark.parametrize("blocks", [False, True])
def test_every_query_sees_something(window: int | None, blocks: bool) -> None:
    """Else the softmax over its scores is no number, and through values of padding so are the gradients."""
    generator = torch.Generator().manual_seed(0)
    suffix = torch.randint(-1, 3, (50, 12), generator=generator)
    block = torch.randint(0, 3, (50, 12), generator=generator) * (suffix == SHARED)
    places = TokenLayout(torch.randint(0, 12, (50, 12), generator=generator), suffix, block)
    seen = visible(places, places, window, blocks)
    assert bool(seen.any(-1).all())
    ordinary = suffix != PADDING
    # what no padding may be: seen by a token that counts
    assert not bool((seen & ordinary[:, :, None] & ~ordinary[:, None, :]).any())


def config(**options: Any) -> Any:
    return SimpleNamespace(config=SimpleNamespace(**{"_attn_implementation": "sdpa", **options}))


def test_the_plain_form_is_a_mask_for_every_head() -> None:
    keys = row("ttab")
    mask = attention_mask(config(), last(keys, 2), keys)
    assert mask.shape == (1, 1, 2, 4)
    assert mask.dtype == torch.bool
    assert drawn(mask[0, 0]) == ["xxx.", "xx.x"]


def test_eager_attention_adds_its_mask() -> None:
    keys = row("tab")
    mask = attention_mask(config(_attn_implementation="eager"), keys, keys)
    lowest = torch.finfo(torch.float32).min
    assert mask[0, 0].tolist() == [[0, lowest, lowest], [0, 0, lowest], [0, lowest, 0]]


def test_a_mask_for_each_type_of_layer() -> None:
    keys = row("ttta")
    types = ["sliding_attention", "full_attention", "sliding_attention"]
    masks = attention_mask(config(layer_types=types, sliding_window=2), keys, keys)
    assert set(masks) == {"full_attention", "sliding_attention"}
    assert drawn(masks["full_attention"][0, 0]) == ["x...", "xx..", "xxx.", "xxxx"]
    assert drawn(masks["sliding_attention"][0, 0]) == ["x...", "xx..", ".xx.", "..xx"]


def test_a_window_without_types_holds_for_every_layer() -> None:
    """As Mistral's does."""
    keys = row("ttta")
    mask = attention_mask(config(sliding_window=2), keys, keys)
    assert drawn(mask[0, 0]) == ["x...", "xx..", ".xx.", "..xx"]


def test_a_window_that_no_layer_has_does_not_count() -> None:
    """Qwen2 keeps the number beside layers that are all full."""
    keys = row("ttta")
    mask = attention_mask(config(layer_types=["full_attention"] * 2, sliding_window=2), keys, keys)
    assert drawn(mask[0, 0]) == ["x...", "xx..", "xxx.", "xxxx"]


@pytest.mark.parametrize(("blocks", "masks"), [("all", gemma3_masks), ("sliding", gemma4_masks)])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_whole_prompts_are_masked_as_gemma_masks_them(attention: str, blocks: Any, masks: Any) -> None:
    kinds = "tt111t2222tt"
    config = Gemma3TextConfig(
        vocab_size=8,
        hidden_size=8,
        num_hidden_layers=2,
        sliding_window=3,
        layer_types=["sliding_attention", "full_attention"],
    )
    config._attn_implementation = attention
    image = torch.tensor([[int(kind.isdigit()) for kind in kinds]])
    expected = masks(
        config=config,
        inputs_embeds=torch.zeros(1, len(kinds), 8),
        attention_mask=torch.ones(1, len(kinds), dtype=torch.long),
        past_key_values=None,
        position_ids=None,
        block_sequence_ids=get_block_sequence_ids_for_mask(image),
    )
    found = attention_mask(SimpleNamespace(config=config), row(kinds), row(kinds), blocks=blocks)
    assert found.keys() == expected.keys()
    for name, mask in expected.items():
        # none stands for the causal one
        causal = torch.ones(len(kinds), len(kinds), dtype=torch.bool).tril()[None, None]
        assert torch.equal(found[name], causal if mask is None else mask), name
