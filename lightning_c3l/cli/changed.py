"""Which options of a run differ from those of its experiment file."""

import io
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, suppress
from fnmatch import fnmatchcase
from typing import Any

import yaml
from jsonargparse import Namespace

from lightning_c3l.cli.words import CONFIG, option_pairs, short_name
from lightning_c3l.runs.config_file import differences

# where a run lies and from where it resumes
_BOOKKEEPING = ("run.*", "config", "ckpt_path", "weights_only", "print_config*", "trainer.default_root_dir")


def changed_options(parser: Any, words: Sequence[str], config: Namespace) -> dict[str, Any]:
    """Options whose values are not those of the experiment file, which is the first of `--config`.

    Args:
        parser: with all verbs.
        words: of the command line, with the verb first.
        config: what they were parsed to, for this verb.

    Returns:
        Values by the names of the command line. Without an experiment file, or with one that is no whole experiment,
        the options given on the command line.
    """
    verb, given = words[0], dict(_given(words[1:]))
    file = next((value for name, value in option_pairs(words[1:]) if name in CONFIG), None)
    alone = None
    if file is not None:
        # one that leaves an option to the command line is refused, which is no error here
        with redirect_stderr(io.StringIO()), suppress(SystemExit):
            alone = parser.parse_args([verb, "--config", file])[verb]
    own = parser._subcommands_action.choices[verb]
    found = (
        given if alone is None else {name: now for name, _, now in differences(_plain(own, alone), _plain(own, config))}
    )
    return {
        name: value for name, value in found.items() if not any(fnmatchcase(name, pattern) for pattern in _BOOKKEEPING)
    }


def _plain(parser: Any, config: Namespace) -> Any:
    return yaml.safe_load(parser.dump(config, skip_none=False, skip_validation=True))


def _given(words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """Names and values of options as they were typed, in the short form without `init_args`."""
    for name, value in option_pairs(words):
        if name.startswith("--"):
            with suppress(yaml.YAMLError):
                value = yaml.safe_load(value)
            yield short_name(name), value
