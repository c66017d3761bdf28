"""Pages of every verb and of the classes of experiment files, from the parsers that read them.

Nothing is written to the repository: the pages exist while the site is built.
"""

from functools import cache
from importlib import import_module
from inspect import cleandoc, getdoc, signature
from typing import Any, cast
from unittest.mock import patch

from docstring_parser import parse as parse_docstring
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from option_tables import class_tables, is_word, option_tables, prose, sentence

from lightning_c3l.cli import main as command_line
from lightning_c3l.cli.class_names import SHORT_NAMES
from lightning_c3l.cli.parser import Parser
from lightning_c3l.cli.trainer_verbs import TRAINER_VERBS

FOLDER = "reference"
# groups of `fit` that are explained elsewhere: on the page of classes, and in Lightning's documentation
_ELSEWHERE = ("model", "data", "trainer", "optimizer", "lr_scheduler")
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
    try:
        with patch.object(Parser, "parse_args", _stop):
            if verb in command_line.VERBS:
                import_module(f"lightning_c3l.cli.{command_line.VERBS[verb][0]}").main([])
            else:
                import_module("lightning_c3l.cli.trainer").run_trainer([verb])
    except _Found as found:
        verbs = getattr(found.parser._subcommands_action, "choices", {})
        return cast(Parser, verbs.get(verb, found.parser))
    raise ValueError(f"{verb}: its function returned before it parsed its options")


def methods() -> dict[str, str]:
    """Trainer methods of the command line, and what they do."""
    return {name: verb.about for name, verb in TRAINER_VERBS.items()}


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
    verbs = [{verb: f"{FOLDER}/verbs/{verb}.md"} for verb in (*methods(), *command_line.VERBS)]
    for section in config.nav or []:
        for entry in next(iter(section.values())):
            if isinstance(entry, dict) and "Verbs" in entry:
                entry["Verbs"] = verbs


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages."""
    pages = {f"verbs/{verb}.md": _verb_page(verb, what) for verb, what in command_line.VERBS.items()}
    pages |= {f"verbs/{verb}.md": _method_page(verb, what) for verb, what in methods().items()}
    pages["classes.md"] = _classes_page()
    for name, content in pages.items():
        files.append(File.generated(config, f"{FOLDER}/{name}", content=content))


def _verb_page(verb: str, known: tuple[str, str]) -> str:
    parser = parser_of(verb)
    about = [f"# {verb}\n", f"{sentence(known[1])}\n"]
    if parser.description:
        about.append(f"{prose(parser.description)}\n")
    examples = "\n".join(getattr(parser, "examples", ()))
    about.append(f"```sh\n{examples}\n```\n" if examples else _usage(verb, parser))
    return "\n".join([*about, *option_tables(parser)])


def _usage(verb: str, parser: Parser) -> str:
    words = [str(one.metavar) if one.nargs != "?" else f"[{one.metavar}]" for one in parser._actions if is_word(one)]
    return f"```\npython -m lightning_c3l {' '.join([verb, *words, '[options]'])}\n```\n"


def _method_page(verb: str, what: str) -> str:
    examples = "\n".join(TRAINER_VERBS[verb].examples)
    about = f"""# {verb}

{sentence(what)}

```sh
{examples}
```

`--model.*` and `--data.*` are the options of the classes that the experiment file names: see
[classes of experiment files](../classes.md). `--trainer.*`, `--optimizer` and `--lr_scheduler` are Lightning's;
`python -m lightning_c3l {verb} --help-trainer` lists them. `--print_config` prints what the files and options make
together.
"""
    return "\n".join([about, *option_tables(parser_of(verb), _ELSEWHERE)])


def _classes_page() -> str:
    parts = [
        "# Classes of experiment files\n",
        "An experiment file names a class by `class_path` and gives its options under `init_args`. The command line "
        "leaves `init_args` out: `--model.loss.temperature 0.1`. Each short name below stands for the class path "
        "under it; a class of your own is named by its full path.\n",
    ]
    for name, built in class_pages().items():
        prefix = next((prefix for end, prefix in reversed(_PREFIXES.items()) if name.endswith(end)), "")
        about = parse_docstring(cleandoc(getdoc(built) or ""))
        text = " ".join(filter(None, (about.short_description, about.long_description)))
        parts += [f"## {name}\n", f"`{SHORT_NAMES[name]}`\n", f"{prose(text)}\n", *class_tables(built, prefix)]
    return "\n".join(parts)
