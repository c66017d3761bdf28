"""`--help` of `fit`, `predict` and `test`: the project's own options, without Lightning's and the parser of all."""

from argparse import SUPPRESS
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from importlib import import_module
from inspect import isclass
from pathlib import Path
from typing import Any, get_args

import yaml
from docstring_parser import parse as parse_docstring
from lightning import Trainer
from lightning.pytorch.cli import LightningArgumentParser, LRSchedulerTypeTuple
from torch.optim import Optimizer

from callbacks import OPTION_GROUPS
from lightning_c3l.cli.class_names import SHORT_NAMES
from lightning_c3l.cli.parser import Parser
from lightning_c3l.cli.trainer_verbs import OBJECTS, TRAINER_VERBS
from lightning_c3l.cli.words import CONFIG, TRAINER_HELP, option_pairs, short_name
from lightning_c3l.distributed.program import command_line
from lightning_c3l.runs.folder import RunConfig

_OF_LIGHTNING = (
    "show Lightning's options: `--trainer.*`, `--seed_everything`, `--ckpt_path` (`last` resumes a run) and others"
)
_HOW = """{about}. What an experiment file gives as `data: {{init_args: {{images: VALUE}}}}` is `--data.images VALUE` on
the command line, which takes precedence. Below are the options of the usual classes, or of those that `--config`,
`--data`, `--model` ... choose."""


def trainer_help(words: Sequence[str]) -> str:
    """The help of a Trainer method.

    Args:
        words: of the command line, with the verb first; the classes that they name are shown.

    Raises:
        ValueError: a class that they name cannot be imported, or an experiment file is no YAML.
    """
    return options_parser(words[0], _chosen_classes(words[1:])).format_help()


def options_parser(verb: str, chosen: Mapping[str, str] | None = None) -> Parser:
    """A parser of the project's own options of a Trainer method, in groups, for its help.

    Args:
        verb: fit, predict or test.
        chosen: names of classes by option, such as `model.lvlm`, that take the place of the usual ones.
    """
    known = TRAINER_VERBS[verb]
    classes = {**known.classes, **(chosen or {})}
    about = _HOW.format(about=known.about[:1].upper() + known.about[1:])
    prog = command_line(verb)
    parser = Parser(prog=prog, usage=f"{prog} --config FILE", description=about)
    parser.examples = known.examples
    _add_config(parser)
    parser.add_argument(TRAINER_HELP, action="store_true", help=_OF_LIGHTNING)
    parser.add_argument("--run", type=RunConfig, default=RunConfig())
    kinds = dict[str, type]()
    groups = {name: classes[name] for name in ("data", "model")}
    for name, kind in {**groups, **{name: OPTION_GROUPS[name] for name in known.callbacks}}.items():
        kinds |= _add_class(parser, name, _class(kind), classes)
    _arrange(parser, kinds, "`--{}=CLASS --help`")
    return parser


class _LightningParser(Parser, LightningArgumentParser):
    """The parser of Lightning's options alone."""


def lightning_help(verb: str) -> str:
    """The help of what Lightning adds to a Trainer method.

    Args:
        verb: fit, predict or test.
    """
    about = parse_docstring(getattr(Trainer, verb).__doc__).short_description
    prog = command_line(verb)
    parser = _LightningParser(prog=prog, usage=f"{prog} --config FILE", description=about)
    parser.examples = [f"c3l {verb} --config my.yaml --trainer.accelerator gpu --trainer.devices 2"]
    _add_config(parser)
    parser.add_argument("--seed_everything", type=bool | int, default=0, help="seed of all random draws")
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_optimizer_args((Optimizer,))
    parser.add_lr_scheduler_args(LRSchedulerTypeTuple)
    parser.add_method_arguments(Trainer, verb, skip=set(OBJECTS))
    _arrange(parser, {}, "--{}.help CLASS")
    return str(parser.format_help())


def _add_config(parser: Parser) -> None:
    parser.add_argument(
        *CONFIG, action="config", metavar="FILE", help="experiment file; later ones overrule earlier ones"
    )


def _add_class(parser: Parser, name: str, kind: type, classes: Mapping[str, str]) -> dict[str, type]:
    """Add the options of a class, and below it those of the classes that its options take; return all by option."""
    draft, inner = Parser(), dict[str, type]()
    draft.add_class_arguments(kind, name, fail_untyped=False)
    for option in [one.dest.removesuffix(".help") for one in draft._actions if one.dest.endswith(".help")]:
        taken = _inner_class(draft, option, classes)
        # a class without options stays the value of one
        if taken is not None and Parser().add_class_arguments(taken, option, fail_untyped=False):
            inner[option] = taken
    skip: set[str | int] = {option.removeprefix(f"{name}.") for option in inner}
    parser.add_class_arguments(kind, name, skip=skip, fail_untyped=False)
    for option, taken in list(inner.items()):
        inner |= _add_class(parser, option, taken, classes)
    return {name: kind, **inner}


def _inner_class(parser: Parser, option: str, classes: Mapping[str, str]) -> type | None:
    """The class of an option's value: the chosen one, or the dataclass that it is unless null."""
    if (chosen := classes.get(option)) is not None:
        return None if chosen in ("null", "None") else _class(chosen)
    kinds = next(get_args(getattr(one, "_typehint", None)) for one in parser._actions if one.dest == option)
    return next((kind for kind in kinds if isclass(kind) and is_dataclass(kind)), None)


def _arrange(parser: Any, kinds: Mapping[str, type], of_class: str) -> None:
    """Name the groups by their options, put those of classes first, and leave out what jsonargparse adds to each.

    Args:
        parser: has the groups.
        kinds: the class of each group that has one.
        of_class: words that show the options of a class, with a slot for the option that takes it.
    """
    tops = [*dict.fromkeys(name.partition(".")[0] for name in parser.groups)]
    ordered = sorted(parser.groups, key=lambda name: (tops.index(name.partition(".")[0]), name not in kinds))
    parser._action_groups = [*parser._action_groups[: -len(ordered)], *map(parser.groups.__getitem__, ordered)]
    for name, group in parser.groups.items():
        about = str(group.title)
        if any(one.dest.startswith(f"{name}.") for one in parser._actions):
            group.title = f"--{name}.*" + (f" ({kinds[name].__name__})" if name in kinds else "")
            group.description = about[:1].upper() + about[1:]
    takes_class = {one.dest.removesuffix(".help") for one in parser._actions if one.dest.endswith(".help")}
    for one in parser._actions:
        if one.dest in takes_class:
            one.help = f"{one.help}".rstrip(".") + f"; {of_class.format(one.dest)} shows its options"
        elif one.dest in parser.groups or one.dest.endswith(".help"):
            one.help = SUPPRESS


def _class(name: str) -> type:
    """The class of a short name or a class path.

    Raises:
        ValueError: there is none, or it cannot be imported.
    """
    module, _, last = SHORT_NAMES.get(name, name).rpartition(".")
    try:
        found = getattr(import_module(module), last)
    except (ImportError, AttributeError, ValueError) as error:
        why = f" ({error})" if module else ""
        raise ValueError(f"there is no class {name}{why}; check the name, or give its dotted import path") from error
    if not isclass(found):
        raise ValueError(f"{name} is no class")
    return found


def _chosen_classes(words: Sequence[str]) -> dict[str, str]:
    """Names of classes by option: those of the experiment files, and those that are typed."""
    found = dict[str, str]()
    for option, value in option_pairs(words):
        name = short_name(option).removesuffix(".class_path")
        try:
            if option in CONFIG and value:
                found |= _classes_of(yaml.safe_load(Path(value).expanduser().read_text(encoding="utf-8")), "")
            elif value.startswith("{"):
                found |= _classes_of(yaml.safe_load(value), name)
            else:
                found[name] = value
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ValueError(f"{value}: no YAML: {error}") from error
    return found


def _classes_of(content: Any, name: str) -> Iterator[tuple[str, str]]:
    """The options of a part of an experiment file that have a class, and its name."""
    if isinstance(content, Mapping):
        if isinstance(kind := content.get("class_path"), str):
            yield name, kind
        for key, value in content.items():
            yield from _classes_of(value, name if key == "init_args" else f"{name}.{key}".lstrip("."))
