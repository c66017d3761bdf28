"""`python -m lightning_c3l`: Trainer methods go to the LightningCLI, the other verbs to `commands/`."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent / "experiments" / "demo.yaml"
# verb -> module in `lightning_c3l.commands` with a function `main(arguments) -> exit status`
VERBS = {"scenes-base": "scenes_base", "easy-vqa": "easy_vqa", "merge": "merge", "bench": "bench"}


def _guarded(run: Callable[[], int]) -> int:
    """Run, and turn what users can mend into one line."""
    from lightning.fabric.utilities.exceptions import MisconfigurationException  # late: some verbs need no Lightning

    try:
        return run()
    except (ValueError, OSError, MisconfigurationException) as error:
        # LVLMError, UnreadableImage and jsonargparse's errors are ValueErrors; OSErrors name their path
        line = " ".join(str(error).split()) or type(error).__name__
        print(f"error: {line}", file=sys.stderr)
        if os.environ.get("C3L_DEBUG"):
            raise
        return 2


def main() -> int:
    """Run one verb; a user's mistake ends in one line and status 2."""
    words = sys.argv[1:]
    if words[:1] and words[0] in VERBS:
        verb = import_module(f"lightning_c3l.commands.{VERBS[words[0]]}").main
        return _guarded(lambda: int(verb(words[1:])))
    if words == ["fit"]:
        sys.argv += ["--config", str(DEMO)]
    from lightning_c3l.cli import run_trainer  # late: the other verbs need not wait for its imports

    return _guarded(lambda: (run_trainer(), 0)[1])


if __name__ == "__main__":
    sys.exit(main())
