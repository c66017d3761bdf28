"""What a Trainer method's words show to be wrong before its imports, which take seconds."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from lightning_c3l.cli.words import CONFIG, option_pairs

# as the parser takes them, in full and short
_CLASS = ("--model.lvlm", "--model.lvlm.class_path", "--model.init_args.lvlm", "--model.init_args.lvlm.class_path")
_MODEL = ("--model", "--model.class_path")
_PATH = ("--model.lvlm.path", "--model.init_args.lvlm.init_args.path", "--model.lvlm.init_args.path")
# print something and end, whatever the model is
_PRINTING = ("-h", "--help", "--print_config")


def look(words: Sequence[str]) -> None:
    """Refuse a missing experiment file, and a checkpoint that is neither on this disk nor on the Hub.

    Args:
        words: of the command line, with the verb.

    Raises:
        OSError: if an experiment file is not there; names it.
        ValueError: if there is neither an experiment file nor a model.
        LVLMError: if there is no such checkpoint.
    """
    files = [Path(value).expanduser() for value in _values(words, CONFIG)]
    for file in files:
        # an experiment may also be given as text
        if file.suffix in (".yaml", ".yml") and not file.is_file():
            raise FileNotFoundError(f"--config {file}: no such file")
    names = [word.partition("=")[0] for word in words]
    if any(name.startswith(_PRINTING) or name.endswith(".help") for name in names) or any(_values(words, _CLASS)):
        return
    if not any(name in (*CONFIG, *_MODEL) for name in names):
        # the options of classes that nothing names are unknown to the parser, which would only say that
        raise ValueError("--config: missing; give an experiment file, or fit alone for the demonstration")
    path = None
    for file in files:
        path = _checkpoint(file, path)
    path = next(reversed([*_values(words, _PATH)]), path)
    if path is not None:
        from lightning_c3l.lvlm.hub import require_reachable  # late: not every command asks for a checkpoint

        require_reachable(path)


def _values(words: Sequence[str], options: Sequence[str]) -> Iterator[str]:
    """Values of options."""
    return (value for name, value in option_pairs(words) if name in options and value)


def _checkpoint(file: Path, before: str | None) -> str | None:
    """Checkpoint that an experiment file names; that of the files before it if it names none."""
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
        lvlm = content["model"]["init_args"]["lvlm"]
        path = lvlm["init_args"]["path"]
    except (OSError, ValueError, yaml.YAMLError, LookupError, TypeError):
        # whatever is wrong with it, the parser says
        return before
    is_ours = str(lvlm.get("class_path", "HuggingFaceLVLM")).endswith("HuggingFaceLVLM")
    # what is interpolated, the parser resolves
    return path if is_ours and isinstance(path, str) and "${" not in path else None
