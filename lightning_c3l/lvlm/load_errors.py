"""What an exception of transformers, peft or the Hub means, in one line that says what to do."""

import re

from lightning_c3l.lvlm.installation import missing_package, torchvision_problem

_MOST = 300
# colours of a terminal, and numbers of the system's errors
_DECORATION = re.compile(r"\x1b\[[0-9;]*m|\[Errno -?\d+\] ")


def one_line(error: BaseException) -> str:
    """First line of an error's message, or what to do about one that is known.

    Args:
        error: whatever is raised while a checkpoint is loaded.
    """
    if known := torchvision_problem(error) or missing_package(error):
        return known
    if "trust_remote_code" in str(error):
        return REMOTE_CODE
    plain = _DECORATION.sub("", str(error))
    lines = [line.strip() for line in plain.splitlines() if line.strip()]
    # a heading says nothing without what follows
    text = " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else ""
    if len(text) > _MOST:
        # a sentence may be followed by a list of all models
        text = text.partition(". ")[0][:_MOST]
    if isinstance(error, OSError | ValueError | RuntimeError | ImportError) and text:
        return text
    # such as a KeyError, whose message is the key alone
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


REMOTE_CODE = (
    "it brings Python code of its own, which would run with your rights; set trust_remote_code: true if you trust its "
    "source, or take a version that transformers runs without (its name often ends in -hf)"
)
