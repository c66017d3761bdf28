"""The parser of the verbs that are no Trainer methods."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from lightning_c3l.cli.errors import alike, plain_reason


class VerbParser(argparse.ArgumentParser):
    """A parser whose errors are one line; names of options are not abbreviated.

    Args:
        verb: its name on the command line.
        description: what it does.
    """

    def __init__(self, verb: str, description: str | None) -> None:
        super().__init__(prog=f"python -m lightning_c3l {verb}", description=description, allow_abbrev=False)
        self._words: Sequence[str] = ()

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse as argparse does, and keep the words for the errors."""
        self._words = sys.argv[1:] if args is None else args
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Say which option is wrong, and which one may have been meant, and leave."""
        # a mistyped name is the reason for which a required option is missing
        if message.startswith(("unrecognized arguments:", "the following arguments are required:")):
            names = (word.partition("=")[0] for word in self._words if word.startswith("--") and word != "--")
            if unknown := next((name for name in names if name not in self._option_string_actions), None):
                meant = alike(unknown[2:], [name[2:] for name in self._option_string_actions if name[:2] == "--"])
                message = f"{unknown}: no such option" + (f"; did you mean --{meant}?" if meant else "")
        print(f"error: {plain_reason(message)} ({self.prog} --help lists the options)", file=sys.stderr)
        raise SystemExit(2)
