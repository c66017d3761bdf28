"""The command of a trial, as W&B's agent writes it."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

_VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")


def trial_command(command: Sequence[str], program: str, values: Mapping[str, Any]) -> list[str]:
    """Replace W&B's macros in the command of a sweep file.

    Args:
        command: of the file.
        program: what `${program}` stands for.
        values: of the trial, by the name of its flag; they are written as Python prints them, as the agent does it.

    Returns:
        The words. The interpreter is the one that runs this program.

    Raises:
        ValueError: naming a macro that is not known here.
    """
    macros = {
        "env": ["/usr/bin/env"],
        "interpreter": [sys.executable],
        "program": [program] if program else [],
        "args": [f"--{name}={value}" for name, value in values.items()],
        "args_no_equals": [word for name, value in values.items() for word in (f"--{name}", str(value))],
        "args_no_hyphens": [f"{name}={value}" for name, value in values.items()],
        # a flag that is false is left out
        "args_no_boolean_flags": [
            f"--{name}" if value is True else f"--{name}={value}"
            for name, value in values.items()
            if value is not False
        ],
        "args_json": [json.dumps(values)],
    }
    words = list[str]()
    for word in command:
        filled = _VARIABLE.sub(lambda found: os.environ.get(found[1], found[1]), word)
        if not (filled.startswith("${") and filled.endswith("}")):
            words.append(filled)
        elif (name := filled[2:-1]) in macros:
            words += macros[name]
        else:
            raise ValueError(f"command: {filled} is not known here; known are {', '.join(macros)} and envvar:NAME")
    return words
