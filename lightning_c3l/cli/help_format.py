"""How `--help` looks: an example first, then an option a paragraph, with its type and default."""

import argparse
import re
import shutil
from collections.abc import Sequence
from inspect import isclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import DefaultHelpFormatter

from lightning_c3l.distributed.program import SCRIPT, program

_WIDTH = 100
_TYPES = {str: "TEXT", int: "INT", float: "FLOAT", bool: "true|false", Path: "PATH", NoneType: "null"}
_TYPES |= {list: "LIST", tuple: "LIST", dict: "MAPPING"}
_PRINT_CONFIG = "--print_config"


class HelpFormatter(DefaultHelpFormatter):
    """Types in the place of values, `(default: ...)` after the text, and what is required in the line of usage."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=help_width())  # type: ignore[no-untyped-call]

    def _format_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None) -> str:
        words = [self._prog if usage is None else usage]
        for one in actions:
            value = self._format_args(one, self._get_default_metavar_for_optional(one))
            if usage is None and (not one.option_strings or one.required):
                words.append(" ".join((*one.option_strings[:1], value)))
        return f"{'usage:':<9}{' '.join(words)} [options]\n\n"

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        kind = getattr(action, "_typehint", None) or action.type
        return type_name(kind) if kind is not None else super()._get_default_metavar_for_optional(action)

    def _get_help_string(self, action: argparse.Action) -> str:
        if _PRINT_CONFIG in action.option_strings:
            return "print all options as a YAML file has them, and exit"
        text = action.help or ""
        text = text if text.endswith("...") else text.removesuffix(".")
        notes = [] if action.option_strings else [self._get_default_metavar_for_optional(action)]
        # there is nothing to say of a flag, or of an action that prints and exits
        has_default = action.default is not argparse.SUPPRESS and (action.default or action.nargs != 0)
        if action.required and action.option_strings:
            notes.append("required")
        elif not action.required and has_default and action.dest != "config":
            notes.append(f"default: {_shown(action.default)}")
        return f"{text} ({', '.join(notes)})" if notes else text


def help_width() -> int:
    """Columns of a help: those of the terminal, at most 100."""
    return min(_WIDTH, shutil.get_terminal_size((_WIDTH + 2, 24)).columns - 2)


def type_name(kind: Any) -> str:
    """A type as what its values look like: `INT|null`, `{mean,lowest,null}`, `CLASS` for what a class path gives."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Literal:
        return f"{{{','.join(map(str, args))}}}"
    if origin in (Union, UnionType):
        choices = [value for one in args if get_origin(one) is Literal for value in get_args(one)]
        others = [type_name(one) for one in args if get_origin(one) is not Literal]
        return type_name(Literal[(*choices, *others)]) if choices else "|".join(dict.fromkeys(others))
    plain = origin or kind
    return _TYPES.get(plain) or ("CLASS" if isclass(plain) and plain is not Any else "VALUE")


def _shown(value: Any) -> str:
    """A default as it would be typed."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return " ".join(map(_shown, value)) or "none"
    return str(value) or "''"


def examples_text(examples: Sequence[str]) -> str:
    """The first lines of a help.

    Args:
        examples: commands of `c3l`.
    """
    lines = [re.sub(rf"^{SCRIPT}\b", " ".join(program()), one) for one in examples]
    lines = [line.replace("\n", f"\n{'':<13}") for line in lines]
    return "".join(f"{'' if number else 'example:':<9}{line}\n" for number, line in enumerate(lines))
