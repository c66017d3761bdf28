"""What was wrong, in one line that a terminal can show."""

import re

from lightning_c3l.report.markup import visible

# jsonargparse's words on a value that fits none of several types, the last of which is None
_UNION = re.compile(r"Errors: - (.*?) - Expected a <class 'NoneType'>")


def plain_reason(message: str) -> str:
    """A message in one line; names in data may hold what a terminal obeys.

    Where a class cannot be built, jsonargparse says why it is not None either and prints the value: that is left out.
    """
    line = " ".join(message.split())
    if found := _UNION.search(line):
        reason = found[1].rpartition("Errors: - ")[2]
        # what is of the wrong type is told from the whole of it
        line = line if reason.startswith("Expected a") else reason
    return visible(line)
