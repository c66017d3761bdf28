"""`python -m lightning_c3l`: Trainer methods go to the LightningCLI, the other verbs to `commands/`."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

DEMO = Path(__file__).resolve().parent.parent / "experiments" / "demo.yaml"
# verb -> module in `lightning_c3l.commands` with a function `main(arguments) -> exit status`
VERBS = {
    "scenes-base": "scenes_base",
    "easy-vqa": "easy_vqa",
    "merge": "merge",
    "bench": "bench",
    "bench-data": "bench_data",
    "score": "score",
    "check-scores": "check_scores",
    "select": "select",
    "convert": "convert",
    "validate-data": "validate_data",
}


def _guarded(run: Callable[[], int]) -> int:
    """Run, and turn what users can mend into one line."""
    try:
        return run()
    except Exception as error:
        # LVLMError, UnreadableImage and jsonargparse's errors are ValueErrors; OSErrors name their path. Lightning's
        # error for wrong options goes by its name: importing it takes seconds that most verbs need not spend.
        is_users = isinstance(error, (ValueError, OSError)) or type(error).__name__ == "MisconfigurationException"
        if not is_users or os.environ.get("C3L_DEBUG"):
            raise
        print(f"error: {' '.join(str(error).split()) or type(error).__name__}", file=sys.stderr)
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
