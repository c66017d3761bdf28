"""Options of a parser or of a class as tables of Markdown."""

import re
from argparse import SUPPRESS, Action
from collections.abc import Iterator
from dataclasses import is_dataclass
from typing import Any, cast, get_args

from lightning_c3l.cli.parser import Parser

_HEAD = "| option | default | what it does |\n| --- | --- | --- |"
_LONGEST = 60


def option_tables(parser: Parser) -> Iterator[str]:
    """A table for each group of a verb's options, with the group's title."""
    for group in parser._action_groups:
        shown = [one for one in group._group_actions if _is_shown(one)]
        if not shown:
            continue
        title = str(group.title or "")
        if title not in ("", "options", "positional arguments"):
            # `--data.* (RoundDataModule)`, or what the options of a verb's group do
            named = re.fullmatch(r"(--\S+)(.*)", title)
            yield f"## `{named[1]}`{named[2]}\n" if named else f"## {sentence(title)[:-1]}\n"
        yield "\n".join([_HEAD, *(_row(one, _names(one)) for one in shown), ""])


def class_tables(built: type[Any], prefix: str) -> Iterator[str]:
    """A table of a class's options, then one for each group of them and for each dataclass that is a value.

    Args:
        built: the class.
        prefix: what the name of an option begins with: `--model.`, or nothing for what only a file can give.
    """
    parser = Parser()
    parser.add_class_arguments(built, fail_untyped=False)
    groups = [[one for one in group._group_actions if _is_shown(one)] for group in parser._action_groups]
    for shown in filter(None, groups):
        if parent := shown[0].dest.rpartition(".")[0]:
            yield f"### `{prefix}{parent}`\n"
        yield "\n".join([_HEAD, *(_row(one, f"`{prefix}{one.dest}`") for one in shown), ""])
    for one in (one for shown in groups for one in shown):
        for inner in filter(is_dataclass, get_args(getattr(one, "_typehint", None))):
            yield f"### `{prefix}{one.dest}`\n"
            yield from class_tables(cast("type[Any]", inner), f"{prefix}{one.dest}.")


def _is_shown(one: Action) -> bool:
    return one.default is not SUPPRESS and one.help is not SUPPRESS and one.dest not in ("config", "print_config")


def _names(one: Action) -> str:
    # `--data.questions+` adds to a list, as every list has it
    names = [name for name in one.option_strings if not name.endswith("+")] or [str(one.metavar)]
    return ", ".join(f"`{name}`" for name in names)


def _row(one: Action, names: str) -> str:
    default = "required" if one.required and one.default is None and one.nargs != "?" else _default(one.default)
    return f"| {names}{_values(one)} | {default} | {_cell(sentence(str(one.help or '')))} |"


def _values(one: Action) -> str:
    """What may be given, where it can be said in a few words."""
    hint = getattr(one, "_typehint", None) or one.type
    kind = re.sub(r"<class '([^']*)'>", r"\1", str(hint or ""))
    takes_null = type(None) in get_args(hint)
    if choices := re.search(r"Literal\[([^\]]*)\]", kind):
        names = choices[1].replace("'", "").split(", ")
    else:
        plain = re.sub(r"Optional\[(.*)\]$", r"\1", re.sub(r"(?:\w+\.)+(\w+)", r"\1", kind))
        names = [name for name in plain.split(" | ") if name not in ("", "None")]
    text = " · ".join([*names, *["null"] * takes_null]) + " ..." * (one.nargs == "+" and bool(names))
    return f"<br>{_cell(text)}" if text and len(text) < _LONGEST else ""


def _default(value: Any) -> str:
    if isinstance(value, list | tuple):
        if not value:
            return "none"
        value = " ".join(map(str, value))
    if value == "":
        return "empty"
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"`{_cell(text)}`" if text and len(text) < _LONGEST and "{" not in text else ""


def _cell(text: str) -> str:
    """A text in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def prose(text: str) -> str:
    """A docstring's text as Markdown: what could be a tag outside of code is escaped, pages are links."""
    text = re.sub(r"(`[^`]*`)|<", lambda found: found[1] or "&lt;", text.replace("``", "`"))
    return re.sub(r"\bdocs(/[\w/-]+\.md)\b", r"[docs\1](\1)", text)


def sentence(text: str) -> str:
    """A text with a capital letter and a full stop."""
    return prose(text[:1].upper() + text[1:].rstrip(".")) + "."
