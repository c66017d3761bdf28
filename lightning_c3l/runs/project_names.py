"""Names of projects on W&B."""

import re

# W&B refuses these letters, and longer names
_PROJECT = re.compile(r"([^/\\#?%:]+/)?[^/\\#?%:]{1,128}")


def require_project(option: str, name: str | None) -> None:
    """Refuse a name that W&B does not accept.

    Args:
        option: that gives the name, for the message.
        name: project, or entity/project; None leaves W&B out.

    Raises:
        ValueError: naming the option.
    """
    if name is not None and not _PROJECT.fullmatch(name):
        raise ValueError(f"{option} must be a project, entity/project or null, not {name!r}")
