"""The parser of all verbs: jsonargparse with errors in one line."""

import argparse
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn, get_args

from jsonargparse import ArgumentParser, Namespace, set_dumper

from lightning_c3l.cli.class_names import SHORT_NAMES
from lightning_c3l.cli.errors import alike, innermost, plain_reason
from lightning_c3l.cli.help_format import HelpFormatter, examples_text
from lightning_c3l.runs.config_file import dump_yaml, with_class_paths

_UNKNOWN = re.compile(
    r"unrecognized arguments: --(?P<argument>[^\s=]+)|Group '(?P<group>.+)' does not accept option '(?P<key>.+)'"
    r"|(?:Subcommand '.+' does not accept option|Option) '(?P<option>.+?)'(?: is not accepted.*)?"
)
_STRAY = re.compile(r"unrecognized arguments: (?!--)(?P<word>\S+)")
_REQUIRED = re.compile(r"the following arguments are required: (?P<names>.+)")


class UnknownOption(argparse.ArgumentError):
    """An option that a parser does not have.

    Attributes:
        name: its name.
        meant: the name of one that it has and that looks alike, if any.
    """

    def __init__(self, message: str, name: str, meant: str) -> None:
        super().__init__(None, message)
        self.name, self.meant = name, meant


class _Text(str):
    """A value as it was typed: jsonargparse takes `str` itself for YAML, at every level of a nested option."""


class Parser(ArgumentParser):
    """Parser whose errors are one line, and in which texts stay texts and null can be given wherever it is a value.

    Nested options (`--model.writing.begin`) go through a parser of each class on their way; jsonargparse would load
    the value as YAML and write it as Python in each of them, so that null arrives as 'None' and 'Q: a' as "{'Q': 'a'}".
    """

    # ends of the messages about options that are missing, and of all
    missing_hint, hint = "; give an experiment file with --config", ""
    # commands of `c3l` that the help begins with
    examples: Sequence[str] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # an abbreviation is a mistyped name that is taken for another one
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": HelpFormatter, **kwargs})
        self._file, self._words = "", list[str]()

    def parse_args(self, args: Sequence[str] | None = None, *rest: Any, **kwargs: Any) -> Namespace:  # type: ignore[override]
        """Parse a command line; `None`, which W&B writes for null, is null for an option that may be null."""
        self._words = self._normalised(sys.argv[1:] if args is None else args)
        found: Namespace = super().parse_args(self._words, *rest, **kwargs)
        return found

    def parse_path(self, path: Any, *rest: Any, **kwargs: Any) -> Namespace:
        """Parse a configuration file, which errors name."""
        before, self._file = self._file, str(path)
        try:
            found: Namespace = super().parse_path(path, *rest, **kwargs)
            return found
        except UnicodeDecodeError:
            self.error("not UTF-8 text")
        finally:
            self._file = before

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say in one line which option is wrong and why, and leave; inside a class, let the outer parser say it."""
        found = _UNKNOWN.fullmatch(message) or _UNKNOWN.match(message)
        if found and not isinstance(ex, UnknownOption):
            name = found["argument"] or found["option"] or f"{found['group']}.{found['key']}"
            ex = UnknownOption(message, name, alike(name, self._option_names()))
        if not self.exit_on_error:
            if isinstance(ex, UnknownOption):
                raise ex
            raise argparse.ArgumentError(None, message) from ex
        print(f"error: {self._in_one_line(message, ex)}{self.hint}", file=sys.stderr)
        raise SystemExit(2)

    def _in_one_line(self, message: str, ex: Exception | None) -> str:
        if stray := _STRAY.match(message):
            return f"{plain_reason(stray['word'])!r} belongs to no option; a value with blanks needs quotes"
        if required := _REQUIRED.fullmatch(message):
            # of Trainer methods: `fit.data`
            names = (name.rpartition(".")[2] for name in required["names"].split(", "))
            return f"{', '.join(map(self._as_typed, names))}: missing{self.missing_hint}"
        where, reason = innermost(ex) if ex is not None else ("", plain_reason(message))
        cause: BaseException | None = ex
        while cause is not None and not isinstance(cause, UnknownOption):
            cause = cause.__cause__
        if cause is not None:
            prefix, where = f"{where}." if where else "", f"{where}.{cause.name}" if where else cause.name
            reason = "no such option" + (f"; did you mean --{prefix}{cause.meant}?" if cause.meant else "")
        return (f"{self._file}: " if self._file else "") + (f"{self._as_typed(where)}: " if where else "") + reason

    def _as_typed(self, dest: str) -> str:
        """The name of an option on the command line; of a positional word, what stands for it in the help."""
        action = next((one for one in self._actions if one.dest == dest), None)
        if action is None:
            return f"--{dest}"
        # Lightning's --config is -c too
        return next((name for name in action.option_strings if name.startswith("--")), str(action.metavar))

    def format_help(self, *args: Any, **kwargs: Any) -> str:
        """The examples, and what jsonargparse makes of the options."""
        return examples_text(self.examples) + super().format_help(*args, **kwargs)

    def _option_names(self) -> list[str]:
        """Names of all options, those of the verb in question included, without the dashes."""
        verbs = getattr(self._subcommands_action, "choices", None) or {}
        own = [name[2:] for name in self._option_string_actions if name.startswith("--")]
        verb = next((verbs[word] for word in getattr(self, "args", ()) if word in verbs), None)
        return own if verb is None else own + verb._option_names()

    def _normalised(self, words: Sequence[str]) -> list[str]:
        """The words with each nested option and its value in one, with null for None where it is a value.

        A name may have dashes for underscores, and an option that takes several values may be given several times.
        """
        end = list(words).index("--") if "--" in words else len(words)
        out, several, left = list[str](), dict[str, list[str]](), list(words[:end])
        while left:
            name, equals, value = left.pop(0).partition("=")
            if (dashed := name.replace("_", "-")) in self._option_string_actions:
                name = dashed
            option = self._option_string_actions.get(name)
            if option is not None and option.nargs == "+":
                values = several.setdefault(name, [])
                values += [value] if equals else []
                while not equals and left and not left[0].startswith("--"):
                    values.append(left.pop(0))
                continue
            is_nested = option is None and re.match(r"--\w+\.", name) is not None
            if not equals and left and not left[0].startswith("--") and (is_nested or _takes_null(option)):
                equals, value = "=", left.pop(0)
            if is_nested or option is not None:
                value = with_class_paths(value, SHORT_NAMES, getattr(option, "_typehint", None if is_nested else str))
            out.append(f"{name}{equals}{'null' if value == 'None' and _takes_null(option) else value}")
        return [*out, *(word for name, values in several.items() for word in (name, *values)), *words[end:]]

    def _parse_optional(self, arg_string: str) -> Any:
        """As argparse does, with the value of a nested option kept as it was typed."""
        found = super()._parse_optional(arg_string)  # type: ignore[no-untyped-call]
        many = isinstance(found, list)  # from Python 3.12 on
        options = [
            (*one[:-1], _Text(one[-1])) if one[-1] is not None and one[1] not in self._option_string_actions else one
            for one in (found if many else [found] if found else [])
        ]
        return options if many else options[0] if options else found

    def _check_value_key(
        self, action: argparse.Action, value: Any, key: str, cfg: Namespace | None, append: bool = False
    ) -> Any:
        """As jsonargparse does, with None for null and with short names and old class paths in a file too."""
        value = with_class_paths(value, SHORT_NAMES, getattr(action, "_typehint", str))
        if isinstance(value, str):
            value = None if value == "None" and _takes_null(action) else str(value)
            if action.nargs == "+" and value is not None:
                # one value in a file, without the brackets of a list
                value = [value]
        return super()._check_value_key(action, value, key, cfg, append)


def _takes_null(option: argparse.Action | None) -> bool:
    return type(None) in get_args(getattr(option, "_typehint", None))


# also on the way between the parsers of nested classes
set_dumper("yaml", dump_yaml)
