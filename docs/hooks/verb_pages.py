"""Pages of every verb and of the classes of experiment files, from the parsers that read them.

Nothing is written to the repository: the pages exist while the site is built.
"""

import re
from functools import cache
from importlib import import_module
from inspect import cleandoc, getdoc, signature
from typing import Any
from unittest.mock import patch

from docstring_parser import parse as parse_docstring
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from option_tables import class_tables, option_tables, prose, sentence

from lightning_c3l.cli.class_names import SHORT_NAMES
from lightning_c3l.cli.main import VERBS
from lightning_c3l.cli.parser import Parser
from lightning_c3l.cli.trainer_help import options_parser
from lightning_c3l.cli.trainer_verbs import TRAINER_VERBS

FOLDER = "reference"
# what the pages of Trainer methods say of their options
_METHOD = """
What an experiment file gives as `data: {{init_args: {{images: VALUE}}}}` is `--data.images VALUE` on the command line,
which takes precedence. Below are the options of the usual classes; [Classes of experiment files](../classes.md) lists
those of all classes, and `c3l {verb} --help-trainer` those of Lightning: `--trainer.*`, `--seed_everything`,
`--ckpt_path` and others. `--print_config` prints what files and options make together, and runs nothing.
"""
# columns of a line of code
_LONGEST = 88
# what an experiment file calls the objects of a class
_PREFIXES = {"Module": "--model.", "DataModule": "--data.", "LVLM": "--model.lvlm.", "Generator": "--model.generator."}


class _Found(BaseException):
    """A parser that is ready to parse."""

    def __init__(self, parser: Parser) -> None:
        super().__init__()
        self.parser = parser


def _stop(parser: Parser, *_: Any, **__: Any) -> None:
    raise _Found(parser)


@cache
def parser_of(verb: str) -> Parser:
    """The parser of a verb, as the command line builds it.

    Args:
        verb: one of the command line's.
    """
    if verb in TRAINER_VERBS:
        return options_parser(verb)
    try:
        with patch.object(Parser, "parse_args", _stop):
            import_module(f"lightning_c3l.cli.{VERBS[verb][0]}").main([])
    except _Found as found:
        return found.parser
    raise ValueError(f"{verb}: its function returned before it parsed its options")


def class_pages() -> dict[str, type[Any]]:
    """Classes that experiment files name and that take options, by their short names."""
    found = dict[str, type[Any]]()
    for name, path in SHORT_NAMES.items():
        module, _, _ = path.rpartition(".")
        # groups of options of `fit`, Lightning's own, and what only the verb `score` builds
        if module.startswith(("callbacks.", "lightning.")) or name == "ScoringDataModule":
            continue
        built = getattr(import_module(module), name)
        if signature(built).parameters:
            found[name] = built
    return found


def on_config(config: MkDocsConfig) -> None:
    """List the pages where the navigation asks for them."""
    verbs = [{verb: f"{FOLDER}/verbs/{verb}.md"} for verb in (*TRAINER_VERBS, *VERBS)]
    for section in config.nav or []:
        for entry in next(iter(section.values())):
            if isinstance(entry, dict) and "Verbs" in entry:
                entry["Verbs"] = verbs


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages."""
    pages = {f"verbs/{verb}.md": _verb_page(verb) for verb in (*TRAINER_VERBS, *VERBS)}
    pages["classes.md"] = _classes_page()
    for name, content in pages.items():
        files.append(File.generated(config, f"{FOLDER}/{name}", content=content))


def _verb_page(verb: str) -> str:
    parser, method = parser_of(verb), TRAINER_VERBS.get(verb)
    about = prose(parser.description or "") if method is None else sentence(method.about)
    examples = "\n".join(map(_folded, parser.examples))
    text = f"# {verb}\n\n{about}\n\n```sh\n{examples}\n```\n"
    if method is not None:
        text += _METHOD.format(verb=verb)
    return "\n".join([text, *option_tables(parser)])


def _folded(command: str) -> str:
    """A command in lines that fit beside the lists of contents, broken before options."""
    lines = [""]
    for part in re.split(r"\s+(?:\\\n\s*)?(?=--)", command):
        if lines[-1] and len(lines[-1]) + len(part) > _LONGEST:
            lines.append(f"    {part}")
        else:
            lines[-1] += f" {part}" if lines[-1] else part
    return " \\\n".join(lines)


def _classes_page() -> str:
    parts = [
        "# Classes of experiment files\n",
        "An experiment file names a class by `class_path` and gives its options under `init_args`. The command line "
        "leaves `init_args` out: `--model.loss.beta 0.2`. Each short name below stands for the class path "
        "under it; a class of your own is named by its full path.\n",
    ]
    for name, built in class_pages().items():
        prefix = next((prefix for end, prefix in reversed(_PREFIXES.items()) if name.endswith(end)), "")
        about = parse_docstring(cleandoc(getdoc(built) or ""))
        text = " ".join(filter(None, (about.short_description, about.long_description)))
        parts += [f"## {name}\n", f"`{SHORT_NAMES[name]}`\n", f"{prose(text)}\n", *class_tables(built, prefix)]
    return "\n".join(parts)
