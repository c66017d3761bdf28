"""The chat template of a processor, from a file if one is given, and the values of its variables."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from jinja2 import Environment, TemplateError, meta
from transformers.utils import CHAT_TEMPLATE_FILE

from lightning_c3l.lvlm.base import LVLMError

# a tag that transformers adds to Jinja, without effect on the text
_GENERATION = re.compile(r"\{%[-+]?\s*(?:end)?generation\s*[-+]?%\}")
# variables that switch off thinking where a template has them
_THINKING = ("enable_thinking", "thinking")
_OWN = {"messages", "add_generation_prompt"}


def template_options(processor: Any, name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values of the chat template's variables: those given, or what switches off thinking.

    Raises:
        LVLMError: if the template is missing or not valid, or it has no variable of this name.
    """
    template = getattr(processor, "chat_template", None)
    source = template.get("default") if isinstance(template, dict) else template
    if not source:
        raise LVLMError(
            f"{name}: the processor has no chat template; set lvlm.chat_template to a file, or add chat_template.jinja "
            "to the folder"
        )
    try:
        parsed = Environment(extensions=["jinja2.ext.loopcontrols"]).parse(_GENERATION.sub("", source))
    except TemplateError as error:
        raise LVLMError(f"{name}: the chat template is not valid: {error}") from error
    variables = meta.find_undeclared_variables(parsed) - _OWN
    if options is None:
        return {key: False for key in _THINKING if key in variables}
    for key in options:
        if key not in variables:
            close = get_close_matches(key, sorted(variables), 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise LVLMError(f"{name}: lvlm.chat_template_kwargs: the chat template has no variable {key!r}{hint}")
    return dict(options)


def read_template(file: str | Path) -> str:
    """Text of a file with a chat template.

    Raises:
        LVLMError: if the file cannot be read.
    """
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise LVLMError(f"lvlm.chat_template: {file}: {reason}; give a file with a Jinja template") from error


def use_chat_template(processor: Any, given: str | None, folders: Sequence[str]) -> None:
    """Give a processor its chat template, on itself, so that saving it writes `chat_template.jinja`.

    Some processor classes drop the template of their folder, and old checkpoints have it at the tokenizer.

    Args:
        processor: to be changed.
        given: template of the user; None for the one that comes with the checkpoint.
        folders: of the adapter, if one is loaded, and of the checkpoint, or its Hub name.

    Raises:
        LVLMError: if a file cannot be read.
    """
    *adapter, own = [_template_file(folder) for folder in folders]
    if given is not None:
        processor.chat_template = given
    elif adapter and adapter[0] is not None:
        processor.chat_template = read_template(adapter[0])
    elif not getattr(processor, "chat_template", None):
        at_tokenizer = getattr(processor.tokenizer, "chat_template", None)
        processor.chat_template = at_tokenizer or (None if own is None else read_template(own))


def _template_file(folder: str) -> Path | None:
    """The `chat_template.jinja` of a folder or of a downloaded snapshot, if it has one."""
    file = Path(folder) / CHAT_TEMPLATE_FILE
    if not file.is_file():
        try:
            found = try_to_load_from_cache(folder, CHAT_TEMPLATE_FILE)
        except HFValidationError:
            return None
        file = Path(found) if isinstance(found, str) else file
    return file if file.is_file() else None
