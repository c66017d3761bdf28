"""Parts of the user's own that options name by a dotted path, `module.attribute`, where they may name one of ours.

A module is looked for in the environment and, behind it, in the current folder. Paths come from the command line and
from experiment files alone: what data, run folders, answer files or checkpoints say is never given to `load`.
"""

import inspect
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any

# says why an object is not what an option asks for, empty if it is
Objection = Callable[[Any], str]


def is_path(name: str) -> bool:
    """Whether a name is a dotted path, `module.attribute`, and so none of ours.

    Examples:
        >>> is_path("my_reading.surprise"), is_path("answer"), is_path("0.5")
        (True, False, False)
    """
    parts = name.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def choose(option: str, name: str, ours: Mapping[str, Any], what: str, objection: Objection) -> Any:
    """One of ours by its name, or the user's own by its dotted path.

    Args:
        option: that names it, for errors.
        name: as the option gives it.
        ours: by name.
        what: it is, such as "reading".
        objection: as in `load`.

    Raises:
        ValueError: no such thing; says in one line which option and why.
    """
    if name in ours:
        return ours[name]
    if not is_path(name):
        raise ValueError(
            f"{option} must be one of {', '.join(ours)}, or module.attribute of your own {what}, not {name!r}"
        )
    return load(option, name, what, objection)


def load(option: str, path: str, what: str, objection: Objection) -> Any:
    """Import what a dotted path names.

    Args:
        option: that names it, for errors.
        path: `module.attribute`.
        what: it should be, such as "reading".
        objection: says why the object is none, empty if it is one.

    Raises:
        ValueError: it cannot be imported, or is something else; says in one line which option and why.
    """
    name, _, attribute = path.rpartition(".")
    if not is_path(path):
        raise ValueError(f"{option} {path}: must be module.attribute of your own {what}")
    module = _imported(option, path, name)
    if not hasattr(module, attribute):
        alike = get_close_matches(attribute, vars(module), 1)
        hint = f"; did you mean {alike[0]}?" if alike else ""
        raise ValueError(f"{option} {path}: module {name} has no attribute {attribute}{hint}")
    found = getattr(module, attribute)
    if reason := objection(found):
        raise ValueError(misfit(option, path, what, reason))
    return found


def misfit(option: str, path: str, what: str, reason: str) -> str:
    """Says of a part that was imported why it is not what the option asks for, and which page shows how to write one.

    Args:
        option: that names it.
        path: its dotted path.
        what: it should be; the last word is the name of its page.
        reason: what is wrong, and what to write instead.
    """
    article = "an" if what[0] in "aeiou" else "a"
    return f"{option} {path}: cannot be used as {article} {what}: {reason} (see docs/extending/{what.split()[-1]}.md)"


def takes(arguments: Sequence[str]) -> Objection:
    """An objection to all that cannot be called with these positional arguments."""
    how = f"with ({', '.join(arguments)})" if arguments else "without arguments"

    def objection(found: Any) -> str:
        if not callable(found):
            return f"it is a {type(found).__name__}; write a function or class that can be called {how}"
        try:
            inspect.signature(found).bind(*arguments)
        except TypeError as error:
            return f"it must be possible to call it {how}, but: {error}"
        except ValueError:  # a builtin without a signature
            pass
        return ""

    return objection


def derives_from(base: type[Any]) -> Objection:
    """An objection to all but classes that derive from `base`."""

    def objection(found: Any) -> str:
        is_one = inspect.isclass(found) and base in found.__mro__[1:]
        return "" if is_one else f"write a class that derives from {base.__qualname__} of {base.__module__}"

    return objection


def find_in_current_folder() -> None:
    """Let modules be found in the current folder too, behind all others, however the process was started."""
    folder = os.getcwd()
    if folder not in (os.path.abspath(entry) for entry in sys.path):
        sys.path.append(folder)


def _imported(option: str, path: str, name: str) -> Any:
    find_in_current_folder()
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise ValueError(
                f"{option} {path}: no module {error.name} in the current folder or the environment"
            ) from error
        raise ValueError(f"{option} {path}: {name} needs the module {error.name}, which is missing") from error
    except Exception as error:  # whatever the user's file raises
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{option} {path}: importing {name} failed: {reason}") from error
