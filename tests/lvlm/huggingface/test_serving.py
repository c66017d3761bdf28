"""What a server is told of an LVLM, against its processor and its weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lightning_c3l.lvlm.base import GenerationRequest
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.records import Turn
from tests.helpers.tiny import SMALL_LORA, awaken_adapter, load_tiny, model_inputs, pictures

QUESTION, ANSWER = "What color is the circle?", "The circle is red"


@pytest.fixture(scope="module")
def lvlm(tiny_checkpoint: Path) -> HuggingFaceLVLM:
    return load_tiny(tiny_checkpoint)


def processor_row(lvlm: HuggingFaceLVLM, turns: list[tuple[str, str]], image: Any) -> tuple[int, ...]:
    return tuple(model_inputs(lvlm.processor, turns, image)["input_ids"][0].tolist())


def test_prompt_rows_are_the_processors(lvlm: HuggingFaceLVLM) -> None:
    first, second = pictures(2)
    asked = [(QUESTION, first), ("Describe the picture.", second), (QUESTION, None), ("Where?", first)]
    rows = lvlm.prompt_ids([GenerationRequest(prompt, image) for prompt, image in asked])
    assert rows == [processor_row(lvlm, [("user", prompt)], image) for prompt, image in asked]
    assert len(set(rows)) == 4


@pytest.mark.parametrize("image", [pictures(1)[0], None], ids=["image", "text"])
def test_a_prefix_ends_its_row(lvlm: HuggingFaceLVLM, image: Any) -> None:
    (row,) = lvlm.prompt_ids([GenerationRequest(QUESTION, image, answer_prefix=ANSWER)])
    whole = processor_row(lvlm, [("user", QUESTION), ("assistant", ANSWER)], image)
    assert whole == (*row, lvlm.processor.tokenizer.eos_token_id)


def test_the_processor_runs_once_for_each_image(lvlm: HuggingFaceLVLM, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[Any]()
    encode = lvlm.images.encode
    monkeypatch.setattr(lvlm.images, "encode", lambda images: seen.extend(images) or encode(images))
    first, second = pictures(2)
    lvlm.prompt_ids([GenerationRequest(prompt, image) for prompt in (QUESTION, "Where?") for image in (first, second)])
    assert [id(image) for image in seen] == [id(first), id(second)]


@pytest.mark.parametrize("path_choice", ["auto", "plain"])
def test_answer_rows_mark_the_last_answer(tiny_checkpoint: Path, path_choice: Any) -> None:
    lvlm = load_tiny(tiny_checkpoint, path_choice=path_choice)
    image, turns = pictures(1)[0], [("user", QUESTION), ("assistant", "Blue"), ("user", "Sure?"), ("assistant", ANSWER)]
    row, answer = lvlm.answer_ids(image, [Turn(role, text) for role, text in turns])  # type: ignore[arg-type]
    assert (*row, lvlm.processor.tokenizer.eos_token_id) == processor_row(lvlm, turns, image)
    # the last token from which on the text is the answer: a blank that the template wrote before it stays outside
    decode = lvlm.processor.tokenizer.decode
    start = max(n for n in range(len(row)) if decode(row[n:]).strip() == ANSWER)
    assert answer == (False,) * start + (True,) * (len(row) - start)


def test_plain_rows_are_the_processors(family_checkpoint: Callable[[str], Path]) -> None:
    lvlm = load_tiny(family_checkpoint("qwen2.5-vl"), path_choice="plain")
    image = pictures(1)[0]
    requests = [GenerationRequest(QUESTION, image), GenerationRequest(QUESTION, image, answer_prefix=ANSWER)]
    plain, begun = lvlm.prompt_ids(requests)
    assert plain == processor_row(lvlm, [("user", QUESTION)], image)
    assert begun[: len(plain)] == plain
    assert lvlm.processor.tokenizer.decode(begun[len(plain) :]).strip() == ANSWER
    assert load_tiny(family_checkpoint("qwen2.5-vl")).prompt_ids(requests) == [plain, begun]


def test_request_options(lvlm: HuggingFaceLVLM) -> None:
    tokenizer = lvlm.processor.tokenizer
    options = lvlm.request_options()
    assert options.end_ids == (tokenizer.eos_token_id,)
    assert options.forbidden_ids == (tokenizer.convert_tokens_to_ids("<image>"),)
    assert options.template_options == {}
    assert lvlm.clean(" a <image>circle</s> ") == "a circle"


def test_only_fresh_adapters_are_untrained(tiny_checkpoint: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint, SMALL_LORA, awake=False)
    assert lvlm.is_untrained()
    assert not lvlm.is_reference
    awaken_adapter(lvlm)
    assert not lvlm.is_untrained()
    with lvlm.reference():
        assert lvlm.is_reference
    assert not lvlm.is_reference


def test_full_weights_are_untrained_until_one_changes(tiny_checkpoint: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint, None)
    assert lvlm.is_untrained()
    with torch.no_grad():
        next(lvlm.network.parameters()).view(-1)[0] += 1
    assert not lvlm.is_untrained()
    # without a copy of the weights from before, nobody can tell
    assert not load_tiny(tiny_checkpoint, None, keep_reference=False).is_untrained()


def test_merged_weights_add_the_update_to_the_base(tiny_checkpoint: Path, tmp_path: Path) -> None:
    lvlm = load_tiny(tiny_checkpoint)
    lvlm.save_merged(tmp_path / "merged")
    base, merged = (load_file(folder / "model.safetensors") for folder in (tiny_checkpoint, tmp_path / "merged"))
    assert base.keys() == merged.keys()
    name = next(one for one in sorted(base) if one.endswith("layers.0.self_attn.q_proj.weight") and "vision" not in one)
    layer = lvlm.model.get_decoder().layers[0].self_attn.q_proj
    update = layer.lora_B["default"].weight @ layer.lora_A["default"].weight * SMALL_LORA.alpha / SMALL_LORA.rank
    torch.testing.assert_close(merged[name], base[name] + update.detach())
    assert not torch.equal(merged[name], base[name])
    embeddings = next(one for one in base if "embed_tokens" in one)
    torch.testing.assert_close(merged[embeddings], base[embeddings])
    assert (tmp_path / "merged" / "chat_template.jinja").is_file()
