"""Drawn tokens against tables by hand, against exact probabilities, and against transformers' own sampling."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import TopPLogitsWarper

from lightning_c3l.lvlm.base import GenerationRequest, Sampling
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.generation import Generator
from lightning_c3l.lvlm.huggingface.sampling import nucleus, sample_tokens, uniforms
from tests.helpers.tiny import decoder_of, load_tiny, model_inputs, pictures

PLAIN = Sampling(temperature=1.0)
TABLE = torch.tensor([0.125, 0.25, 0.0, 0.125, 0.5])
JUST_BELOW_ONE = 1 - 2.0**-53
PROMPT = "Describe the picture."


def draw(p: Tensor, uniform: list[float], sampling: Sampling = PLAIN) -> list[int]:
    """One token for each uniform number, from unnormalised probabilities."""
    logits = p.log().expand(len(uniform), -1)
    return sample_tokens(logits, torch.tensor(uniform, dtype=torch.float64), sampling).tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e4])
def test_a_number_falls_into_its_tokens_share(scale: float) -> None:
    numbers = [0.0, 0.124, 0.126, 0.374, 0.376, 0.499, 0.501, 0.9999]
    assert draw(scale * TABLE, numbers) == [0, 0, 1, 1, 3, 3, 4, 4]


def test_each_row_has_its_own_number_and_probabilities() -> None:
    logits = torch.stack([TABLE, TABLE.flip(0)]).log()
    assert sample_tokens(logits, torch.tensor([0.4, 0.4], dtype=torch.float64), PLAIN).tolist() == [3, 0]


@pytest.mark.parametrize(("temperature", "border"), [(1.0, 1 / 17), (2.0, 1 / 5), (0.5, 1 / 257)])
def test_temperature_is_a_power_of_the_probabilities(temperature: float, border: float) -> None:
    numbers = [border - 1e-5, border + 1e-5]
    assert draw(torch.tensor([1.0, 16.0]), numbers, Sampling(temperature=temperature)) == [0, 1]


def test_temperature_0_is_the_likeliest_whatever_the_number() -> None:
    greedy = Sampling(samples=1, temperature=0.0)
    assert draw(TABLE, [0.0, 0.3, JUST_BELOW_ONE], greedy) == [4, 4, 4]


@pytest.mark.parametrize("uniform", [0.0, JUST_BELOW_ONE, 1.0])  # where a device rounds up
def test_what_has_no_probability_is_never_drawn(uniform: float) -> None:
    first, last = 1, 3
    expected = first if uniform == 0 else last
    assert draw(torch.tensor([0.0, 1.0, 0.0, 2.0, 0.0, 0.0]), [uniform]) == [expected]
    # seven of ten are not to be drawn; the rest is uneven, so that sums round
    generator = torch.Generator().manual_seed(0)
    logits = 8 * torch.randn(2000, 300, generator=generator)
    logits[torch.rand(logits.shape, generator=generator) < 0.7] = -torch.inf
    tokens = sample_tokens(logits, torch.full((2000,), uniform, dtype=torch.float64), PLAIN)
    assert bool((logits.softmax(-1).gather(1, tokens[:, None]) > 0).all())


@pytest.mark.parametrize("top_p", [0.1, 0.5, 0.9])
def test_what_is_outside_the_nucleus_is_never_drawn(top_p: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(3000, 40, generator=generator)
    uniform = torch.rand(3000, generator=generator, dtype=torch.float64)
    uniform[:100], uniform[100:200] = 0.0, JUST_BELOW_ONE
    tokens = sample_tokens(logits, uniform, Sampling(temperature=1.0, top_p=top_p))
    kept: Any = TopPLogitsWarper(top_p)(None, logits)  # type: ignore[arg-type]
    assert bool(kept.gather(1, tokens[:, None]).isfinite().all())


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.01, [0, 0.5, 0, 0]),
        (0.5, [0, 0.5, 0, 0]),
        (0.51, [0, 0.5, 0.25, 0]),
        (0.75, [0, 0.5, 0.25, 0]),
        (0.76, [0.15, 0.5, 0.25, 0]),
        (0.91, [0.15, 0.5, 0.25, 0.1]),
    ],
)
def test_nucleus_by_hand(share: float, expected: list[float]) -> None:
    p = torch.tensor([[0.15, 0.5, 0.25, 0.1]])
    assert nucleus(p, share)[0].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.8, 0.99])
def test_nucleus_is_that_of_transformers(share: float) -> None:
    logits = 2 * torch.randn(50, 100, generator=torch.Generator().manual_seed(2))
    kept: Any = TopPLogitsWarper(share)(None, logits)  # type: ignore[arg-type]
    assert torch.equal(nucleus(logits.softmax(-1), share) > 0, kept.isfinite())


def test_shares_in_the_nucleus_add_up_to_one() -> None:
    """Of a half and a quarter, two thirds and one third."""
    narrow = Sampling(temperature=1.0, top_p=0.75)
    p = torch.tensor([0.15, 0.5, 0.25, 0.1])
    assert draw(p, [0.0, 0.666, 0.667, 0.9999], narrow) == [1, 1, 2, 2]


def test_a_texts_numbers_do_not_depend_on_how_many_or_how_long_texts_are() -> None:
    few, many = Sampling(samples=2, max_new_tokens=5), Sampling(samples=7, max_new_tokens=90)
    short, long = uniforms(11, few), uniforms(11, many)
    assert short.shape == (2, 5)
    assert long.shape == (7, 90)
    assert long.dtype == torch.float64
    assert torch.equal(short, long[:2, :5])
    assert bool(((long >= 0) & (long < 1)).all())


def test_no_two_texts_have_the_same_numbers() -> None:
    sampling = Sampling(samples=8, max_new_tokens=3)
    rows = {tuple(row) for seed in (0, 1, 2, 1009, 2**31, 2**32 - 1) for row in uniforms(seed, sampling).tolist()}
    assert len(rows) == 6 * 8


def test_numbers_do_not_touch_the_global_state() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    uniforms(3, Sampling())
    assert torch.equal(torch.get_rng_state(), before)


def chance(observed: Counter[Any], p: dict[Any, float]) -> float:
    """Probability that draws from `p` are at least as far from it as these (chi-square; rare outcomes together)."""
    count = observed.total()
    often = [outcome for outcome, share in p.items() if count * share >= 10]
    cells = [(observed[outcome], count * p[outcome]) for outcome in often]
    cells.append((count - sum(seen for seen, _ in cells), count - sum(expected for _, expected in cells)))
    cells = [(seen, expected) for seen, expected in cells if expected > 1]
    assert len(cells) > 1
    statistic = sum((seen - expected) ** 2 / expected for seen, expected in cells)
    return float(torch.special.gammaincc(torch.tensor((len(cells) - 1) / 2), torch.tensor(statistic / 2)))


def test_the_chance_itself() -> None:
    """The table's upper 5% points of chi-square: 3.841 for one degree of freedom, 9.488 for four."""
    # 2 * 98^2 / 5000 = 3.842
    assert chance(Counter(a=5098, b=4902), {"a": 0.5, "b": 0.5}) == pytest.approx(0.05, abs=1e-3)
    # 4 * 69^2 / 2000 = 9.522
    observed = Counter(a=2069, b=1931, c=2069, d=1931, e=2000)
    assert chance(observed, dict.fromkeys("abcde", 0.2)) == pytest.approx(0.05, abs=2e-3)
    # the rare c and d count as one: 12 where 10 are expected, so 4 / 10 + 4 / 990 = 0.404
    observed = Counter(a=988, c=5, d=7)
    assert chance(observed, {"a": 0.99, "c": 0.005, "d": 0.005}) == pytest.approx(0.525, abs=2e-3)


def test_frequencies_are_the_probabilities() -> None:
    sampling = Sampling(samples=400, max_new_tokens=50, temperature=1.0)
    numbers = uniforms(7, sampling).flatten()
    tokens = sample_tokens(TABLE.log().expand(len(numbers), -1), numbers, sampling)
    observed = Counter(tokens.tolist())
    assert observed.total() == 20_000
    assert observed[2] == 0
    assert chance(observed, dict(enumerate(TABLE.tolist()))) > 1e-3


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


def share_of(lvlm: HuggingFaceLVLM, temperature: float, begun: tuple[int, ...] = ()) -> Tensor:
    """Exact probabilities of the token after the prompt and these, the image's own left out, from a plain forward."""
    inputs = model_inputs(lvlm.processor, [("user", PROMPT)], pictures(1)[0])
    ids = torch.cat([inputs["input_ids"], torch.tensor([begun], dtype=torch.long)], dim=1)
    with torch.no_grad():
        logits = lvlm.model(input_ids=ids, pixel_values=inputs["pixel_values"]).logits[0, -1]
    logits[lvlm.images.token] = -torch.inf
    return (logits / temperature).softmax(-1)


def exact(lvlm: HuggingFaceLVLM, temperature: float) -> tuple[dict[Any, float], dict[Any, float]]:
    """Probabilities of first tokens, and of the likelier pairs of tokens."""
    first = dict(enumerate(share_of(lvlm, temperature).tolist()))
    end = lvlm.processor.tokenizer.eos_token_id
    pairs = dict[Any, float]()
    for token in sorted(first, key=lambda t: first[t], reverse=True)[:4]:
        assert token != end
        following = share_of(lvlm, temperature, (token,)).tolist()
        pairs |= {(token, second): first[token] * share for second, share in enumerate(following)}
    return first, pairs


def ours(lvlm: HuggingFaceLVLM, sampling: Sampling, prompts: int) -> list[tuple[int, ...]]:
    """Tokens of texts for one prompt many times over."""
    generator = Generator(decoder_of(lvlm), lvlm.encoder, sampling, ends=())
    requests = [GenerationRequest(PROMPT, pictures(1)[0], 100 + n) for n in range(prompts)]
    return [text for own in generator.generate(requests, 4) for text in own]


def theirs(lvlm: HuggingFaceLVLM, sampling: Sampling) -> list[tuple[int, ...]]:
    """The same by transformers."""
    inputs = model_inputs(lvlm.processor, [("user", PROMPT)], pictures(1)[0])
    with torch.random.fork_rng():
        torch.manual_seed(0)
        out = lvlm.model.generate(
            **inputs,
            do_sample=True,
            num_return_sequences=sampling.samples,
            max_new_tokens=2,
            min_new_tokens=2,
            temperature=sampling.temperature,
            top_p=1.0,
            top_k=0,
            suppress_tokens=[lvlm.images.token],
        )
    return [tuple(text) for text in out[:, inputs["input_ids"].shape[1] :].tolist()]


@pytest.mark.parametrize("temperature", [0.7, 1.5])
def test_texts_are_distributed_as_the_model_says(lvlm: HuggingFaceLVLM, temperature: float) -> None:
    sampling = Sampling(samples=200, max_new_tokens=2, temperature=temperature)
    texts = ours(lvlm, sampling, prompts=6)
    first, pairs = exact(lvlm, temperature)
    assert [len(text) for text in texts] == [2] * 1200
    assert chance(Counter(text[0] for text in texts), first) > 1e-3
    assert chance(Counter(texts), pairs) > 1e-3
    # what it is not: the same model at another temperature
    other, _ = exact(lvlm, 1.5 * temperature)
    assert chance(Counter(text[0] for text in texts), other) < 1e-6


def test_texts_are_distributed_as_those_of_transformers(lvlm: HuggingFaceLVLM) -> None:
    """Both against the same exact probabilities, for its own draws are other ones."""
    sampling = Sampling(samples=1200, max_new_tokens=2, temperature=1.0)
    texts = theirs(lvlm, sampling)
    first, _ = exact(lvlm, 1.0)
    # without </s>, which it is kept from writing here
    end = lvlm.processor.tokenizer.eos_token_id
    first = {token: share / (1 - first[end]) for token, share in first.items() if token != end}
    mine = ours(lvlm, Sampling(samples=200, max_new_tokens=2, temperature=1.0), prompts=6)
    mine = [text for text in mine if end not in text]
    assert chance(Counter(text[0] for text in texts), first) > 1e-3
    assert chance(Counter(text[0] for text in mine), first) > 1e-3
    share = {text: count / len(mine) for text, count in Counter(mine).items()}
    common = [text for text, part in share.items() if part > 0.02]
    assert len(common) > 3
    found = Counter(texts)
    for text in common:
        spread = (2 * share[text] * (1 - share[text]) / 1200) ** 0.5
        assert found[text] / len(texts) == pytest.approx(share[text], abs=4 * spread)
