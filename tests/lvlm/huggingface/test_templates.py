"""What stands before an answer: the same when it is generated, scored and trained on, whatever the template does."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoProcessor

from lightning_c3l.lvlm.base import ConversationError, LVLMError
from lightning_c3l.lvlm.huggingface.placeholders import Placeholder
from lightning_c3l.lvlm.huggingface.templates import ChatTemplate
from lightning_c3l.records import Turn
from tests.helpers.tiny import IMAGE, encoder_of

NO_THOUGHTS = "<think>\n\n</think>\n\n"
BEGIN, END = "<|im_start|>", "<|im_end|>\n"
PARTS = (
    "{% for p in m['content'] %}{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}"
)
# thinks unless it is told not to; thoughts stand before the answer to the last question only
THINKING = (
    "{% set last = namespace(question=0) %}"
    "{% for m in messages %}{% if m['role'] == 'user' %}{% set last.question = loop.index0 %}{% endif %}{% endfor %}"
    "{% for m in messages %}<|im_start|>{{ m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' and loop.index0 > last.question %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
    + PARTS
    + "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '\n</think>\n\n' }}{% endif %}{% endif %}"
)
# an empty block of thoughts in the generation prompt, and none before an answer that is given
FORGETFUL = (
    "{% for m in messages %}<|im_start|>{{ m['role'] + '\n' }}" + PARTS + "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
# knows no generation prompt
CLOSED = "{% for m in messages %}<|im_start|>{{ m['role'] + '\n' }}" + PARTS + "{{ '<|im_end|>\n' }}{% endfor %}"
# joins strings, as templates of text-only models do
STRINGS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# parts for the user, strings for all others
MIXED = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'user' %}" + PARTS + "{% else %}{{ m['content'] + '' }}{% endif %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CHAT = (("user", "How many?"), ("assistant", "two"), ("user", "Where?"), ("assistant", "left"))


@pytest.fixture
def processor(tiny_checkpoint: Path) -> Any:
    processor = AutoProcessor.from_pretrained(tiny_checkpoint)
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", BEGIN, END.strip()]})
    return processor


def text(processor: Any, template: str, turns: int, images: int = 0, options: dict[str, Any] | None = None) -> str:
    processor.chat_template = template
    chat = tuple(Turn(role, said) for role, said in CHAT[:turns])  # type: ignore[arg-type]
    return encoder_of(processor, "some/model", options=options).render(chat, images).text


def turn(role: str, said: str, opening: str = "") -> str:
    return f"{BEGIN}{role}\n{opening}{said}{END}"


@pytest.mark.parametrize("template", [THINKING, FORGETFUL], ids=["thinking", "forgetful"])
@pytest.mark.parametrize("images", [0, 1])
def test_an_empty_block_of_thoughts_stands_before_every_answer(processor: Any, template: str, images: int) -> None:
    question = turn("user", "<image>" * images + "How many?")
    prompt = f"{question}{BEGIN}assistant\n{NO_THOUGHTS}"
    assert text(processor, template, 1, images) == prompt
    assert text(processor, template, 2, images) == f"{prompt}two{END}"
    second = f"{prompt}two{END}{turn('user', 'Where?')}{BEGIN}assistant\n{NO_THOUGHTS}"
    assert text(processor, template, 3, images) == second
    assert text(processor, template, 4, images) == f"{second}left{END}"


@pytest.mark.parametrize("template", [THINKING, FORGETFUL], ids=["thinking", "forgetful"])
def test_the_prompt_is_the_processors_own(processor: Any, template: str) -> None:
    processor.chat_template = template
    expected = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "text", "text": "How many?"}]}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    assert text(processor, template, 1) == expected


def test_thoughts_are_no_part_of_the_answer(processor: Any) -> None:
    processor.chat_template = THINKING
    chat = encoder_of(processor).encode((Turn("user", "How many?"), Turn("assistant", "two")))
    ids = [token for token, on in zip(chat.ids, chat.answer, strict=True) if on]
    assert processor.decode(ids).strip() == "two"


def test_a_model_that_may_think_begins_inside_its_thoughts(processor: Any) -> None:
    prompt = f"{turn('user', 'How many?')}{BEGIN}assistant\n<think>\n"
    assert text(processor, THINKING, 1, options={"enable_thinking": True}) == prompt
    assert text(processor, THINKING, 2, options={"enable_thinking": True}) == f"{prompt}two{END}"


def test_thoughts_that_cannot_be_turned_off_are_ended(processor: Any) -> None:
    """A template that always begins with thoughts, and writes an empty block before a given answer."""
    template = THINKING.replace("enable_thinking is defined and enable_thinking is false", "false")
    prompt = f"{turn('user', 'How many?')}{BEGIN}assistant\n{NO_THOUGHTS}"
    assert text(processor, template, 1) == prompt
    assert text(processor, template, 2) == f"{prompt}two{END}"
    begun = prompt.removesuffix("\n</think>\n\n")
    assert text(processor, template, 1, options={}) == begun
    assert text(processor, template, 2, options={}) == f"{begun}two{END}"


def test_what_the_processor_writes_behind_a_question_is_not_written_twice(processor: Any) -> None:
    """Chameleon's structure: a separator before an answer, which its processor adds to a question."""
    processor.chat_template = (
        "{% for m in messages %}{% if not loop.first %}<|im_start|>{% endif %}" + PARTS + "{% endfor %}"
    )
    encoder = encoder_of(processor)
    encoder.template = ChatTemplate(processor, "some/model", {}, Placeholder("<image>", suffix="<|im_start|>"))
    question, answer = Turn("user", "How many?"), Turn("assistant", "two")
    assert encoder.render((question,), 0).text == "How many?"
    assert encoder.render((question, answer), 0).text == "How many?<|im_start|>two</s>"


def test_no_options_leave_the_template_its_own_defaults(processor: Any) -> None:
    assert text(processor, THINKING, 1, options={}).endswith("assistant\n<think>\n")


def test_a_template_without_generation_prompt_opens_the_turn_as_it_writes_it(processor: Any) -> None:
    prompt = f"{turn('user', 'How many?')}{BEGIN}assistant\n"
    assert text(processor, CLOSED, 1) == prompt
    assert text(processor, CLOSED, 2) == f"{prompt}two{END}"


def test_blanks_before_a_given_answer_are_no_part_of_the_prompt(processor: Any) -> None:
    """PaliGemma's structure: the template writes the line break before an answer, and its processor adds one."""
    template = "{% for m in messages %}{% if not loop.first %}{{ '\n' }}{% endif %}" + PARTS + "{% endfor %}"
    assert text(processor, template, 1) == "How many?"
    assert text(processor, template, 2) == "How many?\ntwo</s>"


def test_a_template_whose_beginning_depends_on_the_answer_is_refused(processor: Any) -> None:
    template = "{% if add_generation_prompt %}Think.{% endif %}" + CLOSED
    with pytest.raises(LVLMError, match=r"some/model: .*generating and scoring would differ; set lvlm.chat_template"):
        text(processor, template, 2)


@pytest.mark.parametrize("template", [STRINGS, MIXED], ids=["strings", "mixed"])
def test_templates_that_want_strings(processor: Any, template: str) -> None:
    answer = turn("assistant", "two")
    assert text(processor, template, 2) == turn("user", "How many?") + answer
    image = "<image>\n" if template == STRINGS else "<image>"
    assert text(processor, template, 2, images=1) == turn("user", f"{image}How many?") + answer


def test_a_template_that_takes_neither_parts_nor_strings_says_both_reasons(processor: Any) -> None:
    template = (
        "{% for m in messages %}{% if m['content'] is string %}{{ raise_exception('No strings!') }}"
        "{% else %}{{ raise_exception('No parts!') }}{% endif %}{% endfor %}"
    )
    with pytest.raises(LVLMError, match=r"some/model: .*No parts! \(with a string for each turn: .*No strings!\)"):
        text(processor, template, 1)


def test_roles_that_do_not_take_turns_are_the_conversations_fault(processor: Any) -> None:
    processor.chat_template = (
        "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Take turns!') }}{% endif %}{% endfor %}" + CLOSED
    )
    encoder = encoder_of(processor)
    with pytest.raises(ConversationError, match=r"the chat template refuses a conversation.*: Take turns!"):
        encoder.render((Turn("system", "a"), Turn("user", "b"), Turn("assistant", "c")), 0)


@pytest.mark.parametrize(("ends", "own"), [(None, []), (7, [7]), ([7, 9], [7, 9])])
def test_ends_of_the_generation_configuration_are_ends_of_a_turn(
    processor: Any, ends: int | list[int] | None, own: list[int]
) -> None:
    processor.chat_template = CLOSED
    tokens = processor.tokenizer.convert_tokens_to_ids(["<|im_end|>", "</s>"])
    assert encoder_of(processor, ends=ends).end_of_turn_ids() == sorted([*tokens, *own])


def test_a_blank_before_the_end_of_turn_does_not_end_it(processor: Any) -> None:
    processor.chat_template = "{% for m in messages %}{{ m['role'] }}: " + PARTS + "\n</s>{% endfor %}"
    assert encoder_of(processor).end_of_turn_ids() == [processor.tokenizer.eos_token_id]


# GLM's structure: a turn has no end but the token that begins the next one
ENDLESS = (
    "{% for m in messages %}{{ '<|user|>\n' if m['role'] == 'user' else '<|assistant|>\n' }}" + PARTS + "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)


@pytest.mark.parametrize(("is_end", "end"), [(True, "<|user|>"), (False, "</s>")])
def test_an_answer_ends_with_the_token_of_the_next_turn_if_that_is_an_end(
    processor: Any, is_end: bool, end: str
) -> None:
    processor.tokenizer.add_special_tokens({"additional_special_tokens": ["<image>", "<|user|>", "<|assistant|>"]})
    processor.chat_template = ENDLESS
    user, eos = processor.tokenizer.convert_tokens_to_ids(["<|user|>", "</s>"])
    encoder = encoder_of(processor, ends=[user, eos] if is_end else [eos])
    chat = encoder.render((Turn("user", "How many?"), Turn("assistant", "two")), 0)
    assert chat.text == f"<|user|>\nHow many?<|assistant|>\ntwo{end}"
    assert encoder.end_of_turn_ids() == sorted({eos, user} if is_end else {eos})


def test_an_end_of_turn_that_is_not_marked_as_special(processor: Any) -> None:
    processor.tokenizer.add_tokens(["<|done|>"])
    processor.chat_template = CLOSED.replace("<|im_end|>", "<|done|>")
    encoder = encoder_of(processor)
    ids = processor.tokenizer.convert_tokens_to_ids(["<|done|>", "</s>"])
    assert encoder.end_of_turn_ids() == sorted(ids)
    rendered = encoder.render((Turn("user", "a<|done|>b"), Turn("assistant", "c")), 0)
    assert rendered.text.count("<|done|>") == 2
    assert [rendered.text[stop:end] for _, stop, end in rendered.spans] == ["<|done|>"]


def test_ends_of_a_template_without_text_only_mode(processor: Any) -> None:
    wants = "{% if messages[0]['content'] | length < 2 %}{{ raise_exception('No image!') }}{% endif %}"
    processor.chat_template = wants + CLOSED
    ids = processor.tokenizer.convert_tokens_to_ids(["<|im_end|>", "</s>"])
    assert encoder_of(processor).end_of_turn_ids() == sorted(ids)


def test_images_that_the_processor_puts_before_the_text(processor: Any) -> None:
    """BLIP-2's structure: nothing in the text stands for an image."""
    processor.chat_template = "{% for m in messages %}{{ m['content'][-1]['text'] }}</s>{% endfor %}"
    encoder = encoder_of(processor)
    encoder.images.placeholder = encoder.template.placeholder = ""
    turns = Turn("user", "How many?"), Turn("assistant", "two")
    chat, alone = encoder.encode(turns, IMAGE), encoder.encode(turns)
    assert chat.ids == (processor.image_token_id,) * 9 + alone.ids
    assert [token for token, on in zip(chat.ids, chat.answer, strict=True) if on] == [
        token for token, on in zip(alone.ids, alone.answer, strict=True) if on
    ]
