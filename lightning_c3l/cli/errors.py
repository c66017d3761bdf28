"""Error messages in one line that a terminal can show, and the exit status that an error ends with."""

import os
import re
import signal
from collections.abc import Collection
from difflib import get_close_matches

from lightning_c3l.report.text import printable

# messages of jsonargparse that repeat the exception that caused them, and say no more than where
_WRAPPER = re.compile(
    r"Does not validate against any of the Union|Problem with given class_path|\s*- Expected a path but"
)
_KEY = re.compile(r'Parser key "(.+?)"(?: element \d+)?:\s*')
_EXPECTED = re.compile(r"Expected an? (<class '[\w.]+'>|typing\.\S.*?)(?:\. Got value: (.*))?", re.DOTALL)
_UNION = re.compile(r"Subtypes: \[(.*?)\]\n.*\nGiven value: (.*)", re.DOTALL)
_NO_CLASS = re.compile(r"Expected a dot import path string: (?P<name>.+)")
_PROTOCOL = re.compile(r"Expected an instantiatable class, but \S+LVLM is a protocol")
_OTHER_CLASS = re.compile(
    r"Import path (?P<name>\S+) does not (?:implement protocol|correspond to a subclass of) (?P<kind>\w+)"
)
_MOST = 100
# of a mistyped name and the one that was meant, as `difflib` measures it
_LIKENESS = 0.75


def exit_status(error: BaseException) -> int:
    """Exit status of a process that ends with this exception.

    Returns:
        2 for a user's mistake, 130 for Ctrl-C, the code of a `SystemExit`, and 1 for all else, a traceback.
    """
    if isinstance(error, SystemExit):
        # Lightning's Trainer ends with status 1 when it catches Ctrl-C
        if isinstance(error.__context__, KeyboardInterrupt):
            return 128 + signal.SIGINT
        return 1 if isinstance(error.code, str) else error.code or 0
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    return 2 if is_users_mistake(error) else 1


def is_users_mistake(error: BaseException) -> bool:
    """Whether users can mend what is wrong: it is told in one line, unless C3L_DEBUG asks for all of it."""
    # LVLMError, UnreadableImage and jsonargparse's errors are ValueErrors; OSErrors name their path. Lightning's
    # error for wrong options goes by its name: importing it takes seconds that most verbs need not spend.
    is_users = isinstance(error, (ValueError, OSError)) or type(error).__name__ == "MisconfigurationException"
    is_users = is_users or (isinstance(error, Exception) and "torchvision::" in str(error))
    return is_users and not os.environ.get("C3L_DEBUG")


def has_own_message(error: BaseException) -> bool:
    """Whether Python itself shows what is wrong: the text of a `SystemExit`, or the traceback of an error of ours."""
    if isinstance(error, SystemExit):
        return isinstance(error.code, str)
    return not isinstance(error, KeyboardInterrupt) and not is_users_mistake(error)


def in_one_line(error: BaseException) -> str:
    """The option that a user's mistake is about, if any, and what is wrong."""
    from lightning_c3l.lvlm.installation import torchvision_problem  # late: few errors need it

    option, reason = innermost(error)
    reason = torchvision_problem(error) or (os_reason(error) if isinstance(error, OSError) else reason)
    return f"{f'--{option}: ' if option else ''}{reason or type(error).__name__}"


def plain_reason(message: str) -> str:
    """A message in one line; names in data may hold what a terminal obeys."""
    return printable(" ".join(message.split()))


def os_reason(error: OSError) -> str:
    """What an error of the system is about and what is wrong, without its number."""
    if error.filename is not None and error.errno is not None and error.strerror == os.strerror(error.errno):
        return plain_reason(f"{error.filename}: {error.strerror[:1].lower()}{error.strerror[1:]}")
    return re.sub(r"^\[Errno -?\d+\] ", "", plain_reason(str(error)))


def innermost(error: BaseException) -> tuple[str, str]:
    """Where and why jsonargparse refused a value, from its chain of exceptions.

    Args:
        error: an exception of the parser, or of a class that it was to build; others are left as they are.

    Returns:
        The option's name, empty where none is named, and the reason in one line.
    """
    keys, union = list[str](), None
    while True:
        text, cause = str(error), error.__cause__
        is_repeated = cause is not None and str(cause) == text
        key = _KEY.match(text)
        if key and not is_repeated:
            keys.append(key[1])
        if cause is None or not (is_repeated or key or _WRAPPER.match(text)):
            return ".".join(keys), _in_words(text[key.end() :] if key else text, union)
        union, error = _UNION.search(text), cause


def _in_words(reason: str, union: re.Match[str] | None) -> str:
    """The types that were expected and the value that was given; any other reason as it is.

    Args:
        reason: why a value is none of a type.
        union: the message about a union of types, of which that type is one.
    """
    if other := _OTHER_CLASS.fullmatch(reason):
        hint = "; use HuggingFaceLVLM, or see lightning_c3l/lvlm/base.py" if other["kind"].endswith("LVLM") else ""
        return plain_reason(f"the class {other['name']} is not a {other['kind']}{hint}")
    if _PROTOCOL.fullmatch(reason):
        return "class_path is missing; add class_path: HuggingFaceLVLM, with its options below init_args"
    if unknown := _NO_CLASS.fullmatch(reason):
        return plain_reason(f"there is no class {unknown['name']}; check the name, or give its dotted import path")
    found = _EXPECTED.fullmatch(reason)
    if found is None:
        return plain_reason(reason)
    types, given = (union or found).groups()
    types = (
        re.sub(r"<class '(?:[\w.]+\.)?(\w+)'>", r"\1", types).replace("NoneType", "null").replace(", null", " or null")
    )
    types = re.sub(r"typing\.Literal\[(.*?)\]", r"one of \1", types)
    quotes = " (a text that looks like something else needs quotes)" if types.split(", ")[0] == "str" else ""
    return plain_reason(f"must be {types}" + ("" if given is None else f", not {printable(given, _MOST)}") + quotes)


def alike(name: str, names: Collection[str]) -> str:
    """The option that was probably meant: one alike in its group, one of that name elsewhere, or another group's.

    Args:
        name: what was typed, without dashes; groups are parted by dots.
        names: all that there are.
    """
    known = [one for one in names if one.rpartition(".")[2] != "help"]
    group, _, last = name.rpartition(".")
    beside = [one.rpartition(".")[2] for one in known if one.rpartition(".")[0] == group]
    if close := get_close_matches(last, beside, 1, _LIKENESS):
        return f"{group}.{close[0]}".lstrip(".")
    if same := [one for one in known if one.rpartition(".")[2] == last]:
        return same[0]
    head, _, rest = name.partition(".")
    heads = {one.partition(".")[0] for one in known} - {head}
    return f"{close[0]}.{rest}".rstrip(".") if (close := get_close_matches(head, heads, 1, _LIKENESS)) else ""
