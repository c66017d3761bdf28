"""The options `chat_template` and `chat_template_kwargs`, up to a checkpoint that is saved and loaded again."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonargparse import ArgumentParser
from transformers import AutoProcessor, Blip2Processor

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, LoRA
from lightning_c3l.lvlm.huggingface.adapter_folders import merge_adapter
from lightning_c3l.lvlm.huggingface.template_options import template_options, use_chat_template
from lightning_c3l.records import Turn

ASKED = (Turn("user", "Where?"),)
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}> {% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image>{% else %}{{ p['text'] }}{% endif %}{% endfor %}</s>{% endfor %}"
    "{% if add_generation_prompt %}assistant> "
    "{% if enable_thinking is not defined or enable_thinking %}Well: {% endif %}"
    "{% if style is defined %}({{ style }}) {% endif %}{% endif %}"
)
# marks that transformers adds to Jinja, and loop controls
MARKED = (
    "{% for m in messages %}{%- if not loop.first %}{% continue %}{% endif -%}"
    "{% generation %}{{ thinking }}{% endgeneration %}{% endfor %}"
)


def processor_with(template: Any) -> Any:
    class Bare:
        chat_template = template

    return Bare()


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "mine.jinja"
    path.write_text(TEMPLATE, encoding="utf-8")
    return str(path)


def opened(lvlm: HuggingFaceLVLM) -> str:
    return lvlm.encoder.render(ASKED, 0).text


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (TEMPLATE, {"enable_thinking": False}),
        ({"default": TEMPLATE, "tools": "other"}, {"enable_thinking": False}),
        (MARKED, {"thinking": False}),
        ("{% for m in messages %}enable_thinking{% endfor %}", {}),
    ],
    ids=["variable", "default of several", "marks", "no variable"],
)
def test_thinking_is_off_where_the_template_knows_it(template: Any, expected: dict[str, bool]) -> None:
    assert template_options(processor_with(template), "some/model", None) == expected


@pytest.mark.parametrize("options", [{}, {"style": "short"}, {"enable_thinking": True, "style": 3}])
def test_options_replace_the_default(options: dict[str, Any]) -> None:
    assert template_options(processor_with(TEMPLATE), "some/model", options) == options


@pytest.mark.parametrize(
    ("key", "hint"),
    [("enable_thinkin", r"'enable_thinkin'; did you mean enable_thinking\?"), ("messages", "'messages'$")],
)
def test_a_variable_that_the_template_does_not_have(key: str, hint: str) -> None:
    with pytest.raises(LVLMError, match=f"some/model: lvlm.chat_template_kwargs: .* no variable {hint}"):
        template_options(processor_with(TEMPLATE), "some/model", {key: False})


@pytest.mark.parametrize(
    ("template", "reason"),
    [(None, "no chat template; set lvlm.chat_template to a file"), ("{% for %}", "the chat template is not valid: ")],
)
def test_templates_that_cannot_be_used(template: str | None, reason: str) -> None:
    with pytest.raises(LVLMError, match=f"some/model: .*{reason}"):
        template_options(processor_with(template), "some/model", None)


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_files_that_cannot_be_read_are_named(tiny_checkpoint: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.jinja"
    if kind == "folder":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LVLMError, match=r"lvlm\.chat_template: .*mine\.jinja: .*give a file with a Jinja template"):
        HuggingFaceLVLM(str(tiny_checkpoint), chat_template=str(path))


def test_a_file_replaces_the_checkpoints_template(tiny_checkpoint: Path, file: str) -> None:
    lvlm = HuggingFaceLVLM(str(tiny_checkpoint), chat_template=file)
    assert opened(lvlm) == "user> Where?</s>assistant> "
    assert opened(lvlm.fresh()) == opened(lvlm)


def test_options_reach_the_template(tiny_checkpoint: Path, file: str) -> None:
    options = {"enable_thinking": True, "style": "short"}
    lvlm = HuggingFaceLVLM(str(tiny_checkpoint), chat_template=file, chat_template_kwargs=options)
    assert opened(lvlm) == "user> Where?</s>assistant> Well: (short) "
    assert opened(lvlm.fresh()) == opened(lvlm)


def test_runs_with_other_options_are_other_runs(tiny_checkpoint: Path, file: str) -> None:
    """The text that manifests are made of holds the options; without options it is the template's alone."""
    given = [{"style": "a"}, {"style": "b"}, {}]
    lvlms = [HuggingFaceLVLM(str(tiny_checkpoint), chat_template=file, chat_template_kwargs=one) for one in given]
    assert len({lvlm.chat_template for lvlm in lvlms}) == 3
    assert lvlms[-1].chat_template == TEMPLATE


@pytest.mark.parametrize("lora", [LoRA(rank=2), None], ids=["adapter", "weights"])
def test_a_saved_model_has_its_template(tiny_checkpoint: Path, tmp_path: Path, file: str, lora: LoRA | None) -> None:
    HuggingFaceLVLM(str(tiny_checkpoint), lora, chat_template=file).save(tmp_path / "saved")
    assert (tmp_path / "saved" / "chat_template.jinja").read_text(encoding="utf-8") == TEMPLATE
    Path(file).unlink()
    loaded = HuggingFaceLVLM(str(tmp_path / "saved"), lora=None)
    assert opened(loaded) == "user> Where?</s>assistant> "


def test_a_merged_model_has_the_adapters_template(tiny_checkpoint: Path, tmp_path: Path, file: str) -> None:
    HuggingFaceLVLM(str(tiny_checkpoint), LoRA(rank=2), chat_template=file).save(tmp_path / "adapter")
    _, processor = merge_adapter(str(tiny_checkpoint), tmp_path / "adapter")
    assert processor.chat_template == TEMPLATE


def test_a_template_that_the_processors_class_drops(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """BLIP-2's processor does not pass on the template that lies in its folder."""
    own = AutoProcessor.from_pretrained(tiny_checkpoint)
    processor = Blip2Processor(own.image_processor, own.tokenizer, num_query_tokens=4)
    processor.chat_template = TEMPLATE
    processor.save_pretrained(tmp_path / "blip")
    loaded = Blip2Processor.from_pretrained(tmp_path / "blip")
    assert loaded.chat_template is None
    loaded.tokenizer.chat_template = None
    use_chat_template(loaded, None, (str(tmp_path / "blip"),))
    assert loaded.chat_template == TEMPLATE


def test_a_template_that_lies_at_the_tokenizer(tiny_checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_checkpoint, tmp_path / "old", ignore=shutil.ignore_patterns("*.jinja"))
    processor = AutoProcessor.from_pretrained(tmp_path / "old")
    processor.tokenizer.chat_template = TEMPLATE
    use_chat_template(processor, None, (str(tmp_path / "old"),))
    assert processor.chat_template == TEMPLATE


def test_both_options_stand_in_yaml(tiny_checkpoint: Path, file: str) -> None:
    parser = ArgumentParser(parser_mode="omegaconf")
    parser.add_argument("--config", action="config")
    parser.add_argument("--lvlm", type=HuggingFaceLVLM)
    init = {"path": str(tiny_checkpoint), "chat_template": file, "chat_template_kwargs": {"enable_thinking": True}}
    config = Path(file).with_suffix(".yaml")
    name = f"{HuggingFaceLVLM.__module__}.{HuggingFaceLVLM.__name__}"
    config.write_text(yaml.safe_dump({"lvlm": {"class_path": name, "init_args": init}}), encoding="utf-8")
    parsed = parser.parse_args(["--config", str(config), "--lvlm.init_args.chat_template_kwargs.style", "short"])
    lvlm = parser.instantiate(parsed).lvlm
    assert lvlm.encoder.template.options == {"enable_thinking": True, "style": "short"}
    assert opened(lvlm) == "user> Where?</s>assistant> Well: (short) "
