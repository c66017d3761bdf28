"""The usual helps of `fit`, `predict` and `test` on this disk: what they are made of takes seconds to import."""

import os
import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from lightning_c3l.cli.help_format import help_width
from lightning_c3l.cli.words import TRAINER_HELP
from lightning_c3l.distributed.program import program
from lightning_c3l.runs.atomic import write_text_atomic
from lightning_c3l.runs.digests import content_digest

_ROOT = Path(__file__).resolve().parents[2]
# where the classes are whose options are shown
_PACKAGES = ("lightning_c3l", "data_modules", "callbacks")


def help_text(words: Sequence[str]) -> str:
    """The help of a Trainer method; with `--help-trainer` that of Lightning's options.

    Without words that choose other classes it is kept in `lightning_c3l/` of the user's folder of caches, until one of
    this project's files changes.

    Args:
        words: of the command line, with the verb first.

    Raises:
        ValueError: a class that they name cannot be imported, or an experiment file is no YAML.
    """
    is_lightnings = TRAINER_HELP in words
    is_usual = is_lightnings or len(words) == 2
    file = _cache() / f"{words[0]}-{'lightning-' if is_lightnings else ''}help.txt"
    made_from = f"{content_digest(*_sources())} {' '.join(program())} {help_width()}"
    with suppress(OSError, UnicodeDecodeError):
        known, _, text = file.read_text(encoding="utf-8").partition("\n")
        if known == made_from and is_usual:
            return text
    # late: it imports Lightning
    from lightning_c3l.cli.trainer_help import lightning_help, trainer_help

    text = lightning_help(words[0]) if is_lightnings else trainer_help(words)
    if is_usual:
        # a folder that cannot be written costs time only
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomic(file, f"{made_from}\n{text}")
    return text


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lightning_c3l"


def _sources() -> list[str]:
    """What the text depends on: files by their size and time, and versions."""
    files = sorted(file for name in _PACKAGES for file in (_ROOT / name).rglob("*.py"))
    states = [f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}\n" for file in files]
    return [*states, platform.python_version(), *map(version, ("jsonargparse", "docstring-parser", "lightning"))]
