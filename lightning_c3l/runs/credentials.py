"""Options without what may let somebody in, for what leaves this machine."""

import re
from collections.abc import Mapping
from typing import Any

# a shell command may name a token; its program says enough
_PIPE = re.compile(r"pipe:\s*(\S+)(\s.*)?", re.DOTALL)
_USER = re.compile(r"(?<=://)[^/@\s]+@")


def without_credentials(value: Any) -> Any:
    """The value with `pipe:<program> …` for shell commands and without names and passwords in URLs.

    Args:
        value: mappings, lists and texts at any depth, such as a configuration or the words of a command.
    """
    if isinstance(value, str):
        return _USER.sub("", _PIPE.sub(_program, value))
    if isinstance(value, Mapping):
        return {name: without_credentials(one) for name, one in value.items()}
    return [without_credentials(one) for one in value] if isinstance(value, list | tuple) else value


def _program(found: re.Match[str]) -> str:
    return f"pipe:{found[1]}" + (" …" if found[2] else "")
