"""Dialects of the user's own: how a record of theirs is rewritten as one of ours, and back."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

from lightning_c3l import extensions

# a record as its file has it, to one in a dialect of ours
Rewrite = Callable[[dict[str, Any]], dict[str, Any]]


class OwnDialect(Protocol):
    """A dialect in a file of the user's own; either method may be missing.

    Attributes:
        base: the dialect of ours that `write` starts from.
    """

    base: str

    def read(self, value: dict[str, Any]) -> dict[str, Any]:
        """A record of theirs in any dialect of ours, which is recognised by its fields."""

    def write(self, value: dict[str, Any]) -> dict[str, Any]:
        """A record in the dialect `base` as one of theirs."""


@lru_cache
def own_dialect(option: str, path: str) -> OwnDialect:
    """The dialect of a dotted path, which comes from the command line or an experiment file.

    Args:
        option: that names it, for errors.
        path: `module.Class` of a class without options.

    Raises:
        ValueError: there is no such class; says which option and why.
    """
    found: OwnDialect = extensions.load(option, path, "dialect", extensions.takes(()))()
    if not (hasattr(found, "read") or (hasattr(found, "write") and hasattr(found, "base"))):
        needs = "it needs `read`, or `write` and `base`, or all three"
        raise ValueError(extensions.misfit(option, path, "dialect", needs))
    return found


def rewrite_of(option: str, path: str | None) -> Rewrite | None:
    """How records are rewritten before they are read; None where no dialect of the user's own is named.

    Raises:
        ValueError: there is no such dialect, or none that can be read.
    """
    if path is None:
        return None
    found = own_dialect(option, path)
    if not hasattr(found, "read"):
        raise ValueError(f"{option} {path}: cannot be read: it has no `read`")

    def rewrite(value: dict[str, Any]) -> dict[str, Any]:
        try:
            return found.read(value)
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(f"cannot be read as {path}: {type(error).__name__}: {error}") from error

    return rewrite
