"""Options of the verbs that are no Trainer methods: one frozen dataclass a verb, parsed by jsonargparse."""

import inspect
from argparse import BooleanOptionalAction
from collections.abc import Sequence
from dataclasses import MISSING, Field, field, fields, is_dataclass
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from docstring_parser import parse as parse_docstring
from jsonargparse import Namespace

from lightning_c3l.cli.parser import Parser
from lightning_c3l.distributed.program import command_line

T = TypeVar("T")


def one_of(choices: Sequence[str], default: Any = MISSING) -> Any:
    """A field whose value is one of these; `Literal` says the same where the choices are known to the type checker."""
    return field(default=default, metadata={"choices": tuple(choices)})


def word(default: Any) -> Any:
    """A field that is given as a word without a name, and may be left out."""
    return field(default=default, metadata={"word": True})


def parse_options(verb: str, options: type[T], words: Sequence[str]) -> T:
    """Parse the words that follow a verb.

    Args:
        verb: name on the command line.
        options: dataclass of the verb's options. Its docstring is the text of `--help`: the section `Example` has
            commands of `c3l`, what comes first describes the verb, the attributes the options. Fields without a default
            are positional words, or required options where they are keyword-only; those of `word` are words that may be
            left out. A bool is a flag, a list takes several values. The fields of a nested dataclass are a group of
            options.
        words: the words, without the verb.

    Returns:
        The options, with those of `--config` where the words do not give them.

    Raises:
        SystemExit: with status 2 and one line on stderr if a word or a value of the file is wrong.
        ValueError: from the dataclass itself.
    """
    prog = command_line(verb)
    about = _docstring(options)
    description = " ".join(filter(None, (about.short_description, about.long_description)))
    parser = Parser(prog=prog, description=description)
    parser.examples = [line for one in about.examples for line in str(one.description).splitlines()]
    parser.missing_hint, parser.hint = "", f" ({prog} --help lists the options)"
    parser.add_argument("--config", action="config", help="YAML file of options; those of the command line win")
    _add(parser, options)
    built: T = _build(options, parser.parse_args(words), parser)
    return built


def _docstring(options: Any) -> Any:
    return parse_docstring(inspect.cleandoc(options.__doc__ or ""))


def _add(parser: Any, options: Any) -> None:
    """Add an argument for each field of a dataclass to a parser or to a group of it."""
    hints, helps = (
        get_type_hints(options),
        {one.arg_name: (one.description or "").rstrip(".") for one in _docstring(options).params},
    )
    for one in fields(options):
        hint = hints[one.name]
        if is_dataclass(hint):
            _add(parser.add_argument_group(_docstring(hint).short_description.rstrip(".")), hint)
            continue
        required = one.default is MISSING and one.default_factory is MISSING
        known: dict[str, Any] = {"help": helps[one.name]}
        if hint is bool:
            # one that is on by default has a twin that turns it off: --no-balance-yes-no
            known |= {"action": BooleanOptionalAction if one.default else "store_true"}
        else:
            known |= _typed(hint, one)
        if one.metadata.get("word"):
            parser.add_argument(one.name, nargs="?", metavar=one.name.upper(), default=one.default, **known)
        elif required and not one.kw_only:
            parser.add_argument(one.name, metavar="IN" if one.name == "source" else one.name.upper(), **known)
        elif required:
            parser.add_argument(_option(one.name), required=True, **known)
        else:
            default = one.default if one.default_factory is MISSING else one.default_factory()
            parser.add_argument(_option(one.name), default=default, **known)


def _typed(hint: Any, one: Field[Any]) -> dict[str, Any]:
    """Type and number of the values of a field."""
    if get_origin(hint) is list:
        return {"type": get_args(hint)[0], "nargs": "+"}
    if choices := one.metadata.get("choices"):
        allowed: Any = Literal[choices]
        hint = allowed | None if NoneType in get_args(hint) else allowed
    return {"type": hint}


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _build(options: Any, found: Namespace, parser: Parser) -> Any:
    """The dataclass, and those nested in it, of what was parsed."""
    hints, values = get_type_hints(options), dict[str, Any]()
    for one in fields(options):
        hint = hints[one.name]
        value = _build(hint, found, parser) if is_dataclass(hint) else found[one.name]
        if hint is bool and not isinstance(value, bool):
            parser.error(f"{_option(one.name)}: must be true or false, not {value!r}")
        values[one.name] = value
    return options(**values)
