"""Suffixes packed behind their prefix against one plain forward of each whole row."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL.Image import Image
from torch import Tensor, nn
from transformers import AutoProcessor, LlavaConfig, LlavaForConditionalGeneration, MistralConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling

from lightning_c3l.lvlm.base import LVLMError, Sampling
from lightning_c3l.lvlm.batches import TokenRows
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.huggingface.attention import PADDING, SHARED
from lightning_c3l.lvlm.huggingface.batching import pad, pad_mask
from lightning_c3l.lvlm.huggingface.cache import growing_cache
from lightning_c3l.lvlm.huggingface.forward import Decoder, PromptRows
from lightning_c3l.lvlm.huggingface.image_features import ImageFeatures, OutputForm
from lightning_c3l.lvlm.huggingface.packing import chosen_logp, pack, predicting_states
from tests.helpers.tiny import decoder_of, generate_texts, load_tiny, model_inputs, pictures

CLOSE = {"atol": 1e-4, "rtol": 1e-4}
# what follows the prompts: owner and tokens, in no order
CONTINUED = [(1, (40, 41)), (0, (50, 51, 52, 53)), (1, (60,)), (0, (70, 71, 72)), (1, (80, 81, 82, 83, 84))]


def rows_of(continued: list[tuple[int, tuple[int, ...]]]) -> TokenRows:
    rows = [row for _, row in continued]
    mask = pad_mask([len(row) for row in rows])
    owner = torch.tensor([owner for owner, _ in continued])
    return TokenRows(pad(rows), mask, owner, mask, mask, torch.arange(len(rows)))


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


@pytest.fixture(scope="module")
def images() -> list[Image]:
    return pictures(2)


def inputs_of(lvlm: HuggingFaceLVLM, images: list[Image]) -> list[dict[str, Tensor]]:
    prompts = ("Where?", "Describe the picture and say how many rings there are.")
    return [model_inputs(lvlm.processor, [("user", p)], i) for p, i in zip(prompts, images, strict=True)]


def prefixes_of(lvlm: HuggingFaceLVLM, inputs: list[dict[str, Tensor]]) -> PromptRows:
    ids = [one["input_ids"][0].tolist() for one in inputs]
    features = decoder_of(lvlm).features({"pixel_values": torch.cat([one["pixel_values"] for one in inputs])})
    return PromptRows(pad(ids), pad_mask([len(row) for row in ids]), features, {})


def hidden_of(lvlm: HuggingFaceLVLM, inputs: dict[str, Tensor], after: tuple[int, ...]) -> Tensor:
    """Last hidden layer [L, H] of a prompt and what follows, run alone by transformers."""
    ids = torch.cat([inputs["input_ids"], torch.tensor([after], dtype=torch.long)], dim=1)
    out = lvlm.model(input_ids=ids, pixel_values=inputs["pixel_values"], output_hidden_states=True)
    return out.hidden_states[-1][0]  # type: ignore[no-any-return]


def test_suffixes_stand_side_by_side_behind_their_prefix() -> None:
    packed = pack(rows_of([(1, (5, 6)), (0, (7, 8, 9)), (1, (4,)), (0, (3,))]), rows=3)
    assert packed.ids.tolist() == [[7, 8, 9, 3], [5, 6, 4, 0], [0, 0, 0, 0]]
    assert packed.offset.tolist() == [[0, 1, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    assert packed.suffix.tolist() == [[1, 1, 1, 2], [1, 1, 2, PADDING], [PADDING] * 4]
    # in the flattened rows; where a suffix has no token, the first stands in
    assert packed.slot.tolist() == [[4, 5, 0], [0, 1, 2], [6, 0, 0], [3, 0, 0]]


def test_packed_tokens_are_found_again() -> None:
    suffixes = rows_of(CONTINUED)
    packed = pack(suffixes, rows=2)
    assert packed.ids.shape == (2, 8)
    found = packed.ids.flatten()[packed.slot]
    assert torch.equal(found[suffixes.mask], suffixes.ids[suffixes.mask])
    used = packed.slot[suffixes.mask].tolist()
    assert len(set(used)) == len(used) == int((packed.suffix != PADDING).sum())


def test_suffixes_that_are_empty_take_no_place() -> None:
    packed = pack(rows_of([(0, ()), (0, (7, 8)), (1, ())]), rows=2)
    assert packed.ids.tolist() == [[7, 8], [0, 0]]
    assert packed.suffix.tolist() == [[2, 2], [PADDING, PADDING]]


@pytest.mark.parametrize("joined", [False, True])
@torch.no_grad()
def test_shared_states_are_those_of_whole_rows(lvlm: HuggingFaceLVLM, images: list[Image], joined: bool) -> None:
    inputs, suffixes = inputs_of(lvlm, images), rows_of(CONTINUED)
    prefixes = prefixes_of(lvlm, inputs)
    first, second = decoder_of(lvlm).run_shared(prefixes, suffixes, joined)
    assert second.shape == (5, 5, lvlm.hidden_size)
    for number, one in enumerate(inputs):
        torch.testing.assert_close(first[number][prefixes.mask[number]], hidden_of(lvlm, one, ()), **CLOSE)
    for number, (owner, row) in enumerate(CONTINUED):
        expected = hidden_of(lvlm, inputs[owner], row)[-len(row) :]
        torch.testing.assert_close(second[number][: len(row)], expected, **CLOSE)
    assert bool(first.isfinite().all())
    assert bool(second.isfinite().all())


@pytest.fixture(scope="module")
def windowed(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> HuggingFaceLVLM:
    """The tiny LLaVA with a Mistral for a decoder, in which each token sees the last six."""
    folder = tmp_path_factory.mktemp("windowed")
    config = LlavaConfig.from_pretrained(tiny_checkpoint)
    text = config.text_config
    config.text_config = MistralConfig(
        vocab_size=text.vocab_size,
        hidden_size=text.hidden_size,
        intermediate_size=text.intermediate_size,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        sliding_window=6,
        initializer_range=0.5,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlavaForConditionalGeneration(config).save_pretrained(folder)
    AutoProcessor.from_pretrained(tiny_checkpoint).save_pretrained(folder)
    return HuggingFaceLVLM(str(folder), lora=None, keep_reference=False)


@pytest.mark.parametrize("joined", [False, True])
@torch.no_grad()
def test_a_sliding_window_is_that_of_whole_rows(windowed: HuggingFaceLVLM, images: list[Image], joined: bool) -> None:
    inputs = inputs_of(windowed, images)
    _, hidden = decoder_of(windowed).run_shared(prefixes_of(windowed, inputs), rows_of(CONTINUED), joined)
    for states, (owner, row) in zip(hidden, CONTINUED, strict=True):
        torch.testing.assert_close(states[: len(row)], hidden_of(windowed, inputs[owner], row)[-len(row) :], **CLOSE)


def test_a_sliding_window_is_written_through(windowed: HuggingFaceLVLM, images: list[Image]) -> None:
    prompts = ["Where?", "Describe the picture and say how many rings there are."]
    texts = generate_texts(windowed, images, prompts, Sampling(1, 12, 0.0), 0)
    for one, (text,) in zip(inputs_of(windowed, images), texts, strict=True):
        out = windowed.model.generate(
            **one, do_sample=False, max_new_tokens=12, suppress_tokens=[windowed.images.token]
        )
        written = out[0, one["input_ids"].shape[1] :]
        assert len(set(written.tolist())) > 1
        assert text == windowed.processor.decode(written, skip_special_tokens=True).strip()


@pytest.mark.parametrize("joined", [False, True])
@torch.no_grad()
def test_eager_attention_takes_the_same_masks(tiny_checkpoint: Path, images: list[Image], joined: bool) -> None:
    lvlm = load_tiny(tiny_checkpoint)
    inputs, suffixes = inputs_of(lvlm, images), rows_of(CONTINUED)
    expected = [hidden_of(lvlm, inputs[owner], row)[-len(row) :] for owner, row in CONTINUED]
    lvlm.model.set_attn_implementation("eager")
    _, hidden = decoder_of(lvlm).run_shared(prefixes_of(lvlm, inputs), suffixes, joined)
    for states, one in zip(hidden, expected, strict=True):
        torch.testing.assert_close(states[: len(one)], one, **CLOSE)


def gradients(lvlm: HuggingFaceLVLM, loss: Tensor) -> dict[str, Tensor]:
    lvlm.network.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return {n: p.grad.clone() for n, p in lvlm.network.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("trains", ["adapters", "all"])
def test_shared_gradients_are_those_of_whole_rows(
    tiny_checkpoint: Path, images: list[Image], joined: bool, trains: str
) -> None:
    """Of a loss that looks at every state, those of the prefixes once for each of their suffixes."""
    lvlm = load_tiny(tiny_checkpoint, **({} if trains == "adapters" else {"lora": None, "keep_reference": False}))
    inputs, direction = inputs_of(lvlm, images), torch.linspace(-1, 1, lvlm.hidden_size)
    prefixes, suffixes = prefixes_of(lvlm, inputs), rows_of(CONTINUED)
    first, second = decoder_of(lvlm).run_shared(prefixes, suffixes, joined)
    shared, alone = torch.zeros(()), torch.zeros(())
    for number, (owner, row) in enumerate(CONTINUED):
        states = torch.cat([first[owner][prefixes.mask[owner]], second[number][: len(row)]])
        shared = shared + (states**2).mean(0) @ direction
        alone = alone + (hidden_of(lvlm, inputs[owner], row) ** 2).mean(0) @ direction
    torch.testing.assert_close(shared, alone, **CLOSE)
    found, expected = gradients(lvlm, shared), gradients(lvlm, alone)
    assert found.keys() == expected.keys()
    # A and B of seven linear layers in two decoder layers; else the tower is trained through the features too
    assert (len(found) == 28) == (trains == "adapters")
    assert any("vision_tower" in name for name in found) == (trains == "all")
    largest = max(float(gradient.norm()) for gradient in expected.values())
    for name, gradient in expected.items():
        assert float((found[name] - gradient).norm()) < 1e-4 * max(float(gradient.norm()), 1e-3 * largest), name


@torch.no_grad()
def test_suffixes_may_stand_behind_no_prefix_at_all(lvlm: HuggingFaceLVLM) -> None:
    """Without an image, a template may give two texts nothing in common."""
    suffixes = rows_of([(0, (40, 41, 42)), (0, (50, 51))])
    prefixes = PromptRows(torch.zeros(1, 0, dtype=torch.long), torch.zeros(1, 0, dtype=torch.bool), None, {})
    _, hidden = decoder_of(lvlm).run_shared(prefixes, suffixes, joined=True)
    for row, states in zip(((40, 41, 42), (50, 51)), hidden, strict=True):
        out = lvlm.model(input_ids=torch.tensor([row]), output_hidden_states=True)
        torch.testing.assert_close(states[: len(row)], out.hidden_states[-1][0], **CLOSE)


@torch.no_grad()
def test_whole_rows_leave_their_cache_and_say_what_follows(lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    inputs = inputs_of(lvlm, images)
    prefixes, cache = prefixes_of(lvlm, inputs), growing_cache()
    hidden, following = decoder_of(lvlm).run_rows(prefixes, cache)
    lengths = [one["input_ids"].shape[1] for one in inputs]
    assert following.tolist() == lengths
    assert cache.get_seq_length() == max(lengths)
    for states, one, length in zip(hidden, inputs, lengths, strict=True):
        torch.testing.assert_close(states[:length], hidden_of(lvlm, one, ()), **CLOSE)


def test_places_of_prompts(lvlm: HuggingFaceLVLM) -> None:
    token = lvlm.images.token
    ids = torch.tensor([[9, token, token, 8, token, 7], [token, 5, 0, 0, 0, 0]])
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4])
    places = decoder_of(lvlm).layout(PromptRows(ids, mask, None, {}))
    assert places.index.tolist() == [[0, 1, 2, 3, 4, 5]] * 2
    assert places.suffix.tolist() == [[SHARED] * 6, [SHARED] * 2 + [PADDING] * 4]
    assert places.image.tolist() == [[0, 1, 1, 0, 2, 0], [1, 0, 0, 0, 0, 0]]


@pytest.mark.parametrize(("count", "features"), [(3, 2), (3, None), (0, 4)])
def test_a_number_of_features_that_is_not_that_of_the_tokens_is_refused(
    lvlm: HuggingFaceLVLM, count: int, features: int | None
) -> None:
    ids = torch.tensor([[9] + [lvlm.images.token] * count])
    form = OutputForm(BaseModelOutputWithPooling, {}, is_list=True, is_nested=False, dimensions=2)
    given = None if features is None else ImageFeatures(torch.zeros(features, 48), (), form)
    with pytest.raises(LVLMError, match=f"{count} image tokens in the prompt for {features or 0} image features"):
        decoder_of(lvlm).run(ids, torch.arange(count + 1)[None], None, given)


class Head(nn.Module):
    """A model that is its head alone."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(2, 3, bias=False)
        self.config = SimpleNamespace(model_type="head", get_text_config=SimpleNamespace)

    @property
    def base_model(self) -> nn.Module:
        return self

    def get_decoder(self) -> nn.Module:
        return self

    def get_output_embeddings(self) -> nn.Module:
        return self.head


def test_logits_come_in_float32() -> None:
    decoder: Any = Decoder(Head().bfloat16(), None)  # type: ignore[arg-type]
    assert decoder.logits(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype == torch.float32


def test_log_probabilities_of_marked_tokens_alone(lvlm: HuggingFaceLVLM, images: list[Image]) -> None:
    (inputs, _) = inputs_of(lvlm, images)
    with torch.no_grad():
        out = lvlm.model(**inputs, output_hidden_states=True)
    ids = inputs["input_ids"]
    target = torch.zeros_like(ids, dtype=torch.bool)
    target[0, [1, 4, -1]] = True
    found = decoder_of(lvlm).token_logp(out.hidden_states[-1], ids, target)
    table = out.logits[0].log_softmax(-1)
    expected = torch.zeros(ids.shape[1])
    for place in (1, 4, ids.shape[1] - 1):
        expected[place] = table[place - 1, ids[0, place]]
    torch.testing.assert_close(found[0].detach(), expected, **CLOSE)


def test_states_that_predict_stand_one_before() -> None:
    hidden = torch.arange(8.0).view(2, 4, 1)
    target = torch.tensor([[False, True, False, True], [False, False, True, False]])
    assert predicting_states(hidden, target).flatten().tolist() == [0, 2, 5]
    target[1, 0] = True
    with pytest.raises(ValueError, match="first token"):
        predicting_states(hidden, target)


def test_chosen_log_probabilities_by_hand() -> None:
    logits = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()
    found = chosen_logp(logits, torch.tensor([1, 0])).exp()
    assert found.tolist() == pytest.approx([0.75, 0.5])


def test_checkpointing_counts_while_training_alone(tiny_checkpoint: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint)
    lvlm.network.train()
    assert not decoder_of(lvlm).checkpointing
    lvlm = load_tiny(tiny_checkpoint, gradient_checkpointing=True)
    assert not decoder_of(lvlm).checkpointing
    lvlm.network.train()
    assert decoder_of(lvlm).checkpointing
