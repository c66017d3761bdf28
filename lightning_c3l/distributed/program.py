"""How this program was started, for the commands that it prints; processes that it starts inherit it."""

import os

SCRIPT = "c3l"
# set by the console script
STARTED_AS = "C3L_STARTED_AS"


def program() -> list[str]:
    """Words that a command of this program begins with: those that it was started with."""
    return [SCRIPT] if os.environ.get(STARTED_AS) == SCRIPT else ["python", "-m", "lightning_c3l"]


def command_line(text: str) -> str:
    """A command as users of this start would type it.

    Args:
        text: words that follow the program's name.
    """
    return " ".join([*program(), text])
