"""Token rows against what the processor itself makes of the same conversation."""

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers.processors import TemplateProcessing
from transformers import AutoProcessor

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.chat import ChatEncoder, EncodedChat
from lightning_c3l.lvlm.huggingface.images import ImageTokens
from lightning_c3l.records import Turn
from tests.helpers.tiny import IMAGE, encoder_of, messages, model_inputs, pictures

PARTS = (
    "{% for p in m['content'] %}{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n" + PARTS + "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# ends an answer with a blank and no token at all, as the template of llava-1.5-hf does
LLAVA15 = (
    "{% for m in messages %}{% if m['role'] != 'system' %}{{ m['role'] | upper }}: {% endif %}"
    + PARTS
    + " {% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    + PARTS
    + "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
# template, control tokens of its own, whether the tokenizer puts <s> before every text, end of turn
STYLES: dict[str, tuple[str | None, list[str], bool, str]] = {
    "llava": (None, [], False, "</s>"),
    "chatml": (CHATML, ["<|im_start|>", "<|im_end|>"], False, "<|im_end|>"),
    "llava15": (LLAVA15, [], True, "</s>"),
    "gemma": (GEMMA, ["<start_of_turn>", "<end_of_turn>"], True, "<end_of_turn>"),
}
CHAT = (("system", "Be brief."), ("user", "How many rings?"), ("assistant", "two"), ("user", "Where?"))
CLOSED = (*CHAT, ("assistant", "Top left,\nça va 🙂."))


def styled(folder: Path, style: str) -> Any:
    template, tokens, bos, _ = STYLES[style]
    processor = AutoProcessor.from_pretrained(folder)
    if template is not None:
        processor.chat_template = template
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", *tokens]})
    if bos:
        processor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", processor.tokenizer.bos_token_id)]
        )
    return processor


@pytest.fixture(params=list(STYLES))
def style(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def turns(chat: tuple[tuple[str, str], ...]) -> tuple[Turn, ...]:
    return tuple(Turn(role, text) for role, text in chat)  # type: ignore[arg-type]


def runs(chat: EncodedChat, mask: tuple[bool, ...]) -> list[list[int]]:
    """Tokens of each unbroken run of a mask."""
    out, before = list[list[int]](), False
    for token, on in zip(chat.ids, mask, strict=True):
        if on:
            out = out if before else [*out, []]
            out[-1].append(token)
        before = on
    return out


def rendered(processor: Any, chat: tuple[tuple[str, str], ...]) -> list[int]:
    """Tokens of a text-only chat, by the processor alone; <s> once whoever writes it."""
    text = processor.apply_chat_template(
        messages(chat), tokenize=False, add_generation_prompt=chat[-1][0] != "assistant"
    )
    if processor.chat_template == LLAVA15:  # the end of turn that its template forgets
        for role, said in chat:
            text = text.replace(f"ASSISTANT: {said} ", f"ASSISTANT: {said}</s>") if role == "assistant" else text
    return processor.tokenizer(text.removeprefix("<s>"))["input_ids"]  # type: ignore[no-any-return]


@pytest.mark.parametrize("chat", [CHAT, CLOSED, CHAT[1:2], CLOSED[1:3]], ids=["open", "closed", "asked", "answered"])
def test_text_is_what_the_template_writes(tiny_checkpoint: Path, style: str, chat: Any) -> None:
    processor = styled(tiny_checkpoint, style)
    ids = encoder_of(processor).encode(turns(chat)).ids
    expected = rendered(processor, chat)
    if style == "gemma":
        assert expected[0] == processor.tokenizer.bos_token_id
    assert list(ids) == expected


def test_with_an_image_is_what_the_processor_makes(tiny_checkpoint: Path, style: str) -> None:
    processor, image = styled(tiny_checkpoint, style), pictures(1)[0]
    open_chat = CHAT[1:2]
    encoder = encoder_of(processor)
    (tokens,), _ = encoder.images.encode([image])
    expected = model_inputs(processor, open_chat, image)["input_ids"][0].tolist()
    bos = processor.tokenizer.bos_token_id
    assert expected.count(processor.image_token_id) == 9
    # the bare processor call adds a second <s> where the template has written one
    expected = expected[1:] if expected[:2] == [bos, bos] else expected
    assert list(encoder.encode(turns(open_chat), tokens).ids) == expected


def test_image_stands_before_the_first_user_text_only(tiny_checkpoint: Path, style: str) -> None:
    processor = styled(tiny_checkpoint, style)
    encoder = encoder_of(processor)
    with_image, without = (encoder.encode(turns(CLOSED), image) for image in (IMAGE, None))
    at = with_image.ids.index(processor.image_token_id)
    assert with_image.ids[at : at + 9] == (processor.image_token_id,) * 9
    assert with_image.ids.count(processor.image_token_id) == 9
    assert "Be brief." in processor.decode(with_image.ids[:at])
    assert "How many" in processor.decode(with_image.ids[at:])
    assert [runs(c, c.target) for c in (with_image,)] == [runs(c, c.target) for c in (without,)]


def test_masks_hold_answers_and_their_ends(tiny_checkpoint: Path, style: str) -> None:
    processor = styled(tiny_checkpoint, style)
    chat = encoder_of(processor).encode(turns(CLOSED), IMAGE)
    answers = [processor.decode(run).strip() for run in runs(chat, chat.answer)]
    assert answers == ["two", "Top left,\nça va 🙂."]
    end = STYLES[style][3]
    assert [processor.decode(run).strip() for run in runs(chat, chat.target)] == [answer + end for answer in answers]


def test_an_open_chat_has_no_target_after_the_last_question(tiny_checkpoint: Path, style: str) -> None:
    processor = styled(tiny_checkpoint, style)
    chat = encoder_of(processor).encode(turns(CHAT))
    assert [processor.decode(run).strip() for run in runs(chat, chat.answer)] == ["two"]
    assert len(chat.ids) - max(i for i, on in enumerate(chat.target) if on) > 3


def test_ends_of_turn(tiny_checkpoint: Path, style: str) -> None:
    processor = styled(tiny_checkpoint, style)
    ends = encoder_of(processor).end_of_turn_ids()
    assert {processor.tokenizer.convert_ids_to_tokens(i) for i in ends} == {"</s>", STYLES[style][3]}


@pytest.mark.parametrize(
    "text", ["a {} b", "{}", "{0}{0}", "a {0}", "{0} b", "{1}x{0}", "</{0}s>", "<im{0}age>", "</</s>s>", "<ima</s>ge>"]
)
def test_written_control_tokens_do_not_control(tiny_checkpoint: Path, style: str, text: str) -> None:
    processor = styled(tiny_checkpoint, style)
    encoder = encoder_of(processor)
    text = text.format("<image>", STYLES[style][3]) + " end"
    specials = set(processor.tokenizer.all_special_ids)

    def controls(user: str, model: str) -> list[int]:
        chat = encoder.encode((Turn("system", user), Turn("user", user), Turn("assistant", model)), IMAGE)
        return [token for token in chat.ids if token in specials]

    assert controls(text, text) == controls("plain", "plain")


def test_tokens_that_only_the_tokenizer_file_calls_special(tiny_checkpoint: Path) -> None:
    from tokenizers import AddedToken

    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    processor.tokenizer.backend_tokenizer.add_special_tokens([AddedToken("<|header|>", special=True)])
    header = processor.tokenizer.backend_tokenizer.token_to_id("<|header|>")
    assert "<|header|>" not in processor.tokenizer.all_special_tokens
    assert header in processor.tokenizer("<|header|>")["input_ids"]
    chat = encoder_of(processor).encode((Turn("user", "a <|header|> b"),))
    assert header not in chat.ids


def test_private_use_characters_are_text(tiny_checkpoint: Path) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    chat = encoder_of(processor).encode((Turn("user", "\ue0000\ue001"), Turn("assistant", "\ue0001\ue001")))
    assert [processor.decode(run).strip() for run in runs(chat, chat.answer)] == ["\ue0001\ue001"]


def error_of(processor: Any, image: ImageTokens | None = None) -> str:
    with pytest.raises(LVLMError) as caught:
        encoder_of(processor, "some/model").encode((Turn("user", "a"), Turn("assistant", "b")), image)
    message = str(caught.value)
    assert message.startswith("some/model: ")
    assert "\n" not in message
    return message


def test_unusable_processors_are_refused_in_one_line(tiny_checkpoint: Path) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    bare = deepcopy(processor)
    bare.chat_template = None
    assert "no chat template" in error_of(bare)
    encoder = encoder_of(processor)
    slow = SimpleNamespace(tokenizer=SimpleNamespace(is_fast=False, eos_token="</s>"))
    images = SimpleNamespace(processor=slow, name="some/model")
    with pytest.raises(LVLMError, match="some/model: the tokenizer is not a fast one"):
        ChatEncoder(images, encoder.template)  # type: ignore[arg-type]
    endless = deepcopy(processor)
    endless.tokenizer.eos_token = None
    assert "end-of-sequence" in error_of(endless)


@pytest.mark.parametrize("template", ["hello", "{{ messages[-1]['content'][0]['text'] }}"])
def test_a_template_that_drops_turns_is_refused(tiny_checkpoint: Path, template: str) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    processor.chat_template = template
    assert "does not render every turn" in error_of(processor)


@pytest.mark.parametrize(("count", "marks"), [(0, ""), (2, "<image><image>")])
def test_a_template_that_does_not_write_one_placeholder_is_refused(
    tiny_checkpoint: Path, count: int, marks: str
) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    processor.chat_template = LLAVA15.replace("<image>", marks)
    assert f"renders {count} image placeholders for 1 images" in error_of(processor, IMAGE)


def test_a_template_that_wants_an_image_has_no_text_only_mode(tiny_checkpoint: Path) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    wants = "{% if m['role'] == 'user' and m['content'] | length < 2 %}{{ raise_exception('No image!') }}{% endif %}"
    processor.chat_template = LLAVA15.replace("{% for m in messages %}", "{% for m in messages %}" + wants)
    message = error_of(processor)
    assert "no text-only mode" in message
    assert "No image!" in message
    chat = (Turn("user", "a"), Turn("assistant", "b"))
    assert encoder_of(processor).encode(chat, IMAGE).ids.count(processor.image_token_id) == 9


def test_a_template_that_refuses_an_image_says_nothing_of_text(tiny_checkpoint: Path) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    processor.chat_template = "{{ raise_exception('Never!') }}"
    message = error_of(processor, IMAGE)
    assert "Never!" in message
    assert "text-only" not in message


@pytest.mark.parametrize(("image", "own"), [(IMAGE, 9), (None, 0)])
def test_a_conversation_longer_than_the_context_is_refused_with_both_numbers(
    tiny_checkpoint: Path, image: ImageTokens | None, own: int
) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    chat = (Turn("user", "How many rings are there?"), Turn("assistant", "three"))
    length = len(encoder_of(processor).encode(chat, image).ids)
    assert len(encoder_of(processor, context=length).encode(chat, image).ids) == length
    with pytest.raises(LVLMError) as caught:
        encoder_of(processor, "some/model", length - 1).encode(chat, image)
    message = str(caught.value)
    assert message.startswith(f"a conversation of {length} tokens ({own} of them")
    assert f"context of {length - 1}: 'How many rings" in message
    assert "\n" not in message


def test_an_image_of_several_runs_of_tokens(tiny_checkpoint: Path) -> None:
    """Idefics3 and its kin write one run for each tile, with text between."""
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    encoder, token = encoder_of(processor), processor.image_token_id
    chat = (Turn("user", "Where?"), Turn("assistant", "here"))
    one, several = (encoder.encode(chat, i) for i in (IMAGE, ImageTokens("<image>row<image>", (2, 3))))
    row = tuple(processor.tokenizer("row", add_special_tokens=False)["input_ids"])
    at = one.ids.index(token)
    after = one.ids[at + 9 :]
    assert several.ids == (*one.ids[:at], token, token, *row, token, token, token, *after)
    for name in ("answer", "target"):
        values = getattr(several, name)
        assert values[-len(after) :] == getattr(one, name)[-len(after) :]
        assert not any(values[: -len(after)])


def test_more_runs_than_places_are_refused_with_both_numbers(tiny_checkpoint: Path) -> None:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    assert "1 runs of image tokens in the prompt, but the processor has 2" in error_of(
        processor, ImageTokens("<image>", (4, 5))
    )


def test_two_encoders_do_not_share_templates(tiny_checkpoint: Path) -> None:
    one, other = (encoder_of(styled(tiny_checkpoint, s), s) for s in ("llava", "llava15"))
    chat = (Turn("user", "a"),)
    assert one.encode(chat).ids != other.encode(chat).ids
