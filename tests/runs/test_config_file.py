"""Class paths of the release before, and short names."""

from importlib import import_module

import pytest
import yaml
from jsonargparse import Namespace

from lightning_c3l.cli.class_names import SHORT_NAMES
from lightning_c3l.runs.config_file import RENAMED_CLASSES, with_class_paths
from tests.helpers.commandline import ROOT

OLD, NOW = "lightning_c3l.module.C3LModule", "lightning_c3l.modules.c3l.C3LModule"


@pytest.mark.parametrize("path", sorted({*RENAMED_CLASSES.values(), *SHORT_NAMES.values()}))
def test_every_class_is_there(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert isinstance(getattr(import_module(module), name), type)


@pytest.mark.parametrize("name", [OLD, "C3LModule"])
def test_classes_are_renamed_at_every_depth_and_other_texts_are_not(name: str) -> None:
    config = {"model": {"class_path": name, "init_args": {"names": ["C3LModule", 1]}}, "none": None}
    found = with_class_paths(config, SHORT_NAMES)
    assert found == {"model": {"class_path": NOW, "init_args": {"names": ["C3LModule", 1]}}, "none": None}
    assert with_class_paths(Namespace(model=Namespace(class_path=name)), SHORT_NAMES).model.class_path == NOW


def test_a_text_alone_names_a_class_only_where_no_text_is_taken() -> None:
    assert with_class_paths("C3LModule", SHORT_NAMES, C3LLike | None) == NOW
    assert with_class_paths(["C3LModule"], SHORT_NAMES, list[C3LLike]) == [NOW]
    assert with_class_paths("C3LModule", SHORT_NAMES, str | None) == "C3LModule"


class C3LLike:
    """Stands for a class that an option is typed with."""


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").rglob("*.yaml")), ids=lambda path: path.stem)
def test_experiment_files_of_the_release_before_say_the_same(path: str) -> None:
    """With the class paths of that time."""
    config = yaml.safe_load((ROOT / path).read_text())
    before = {now: old for old, now in RENAMED_CLASSES.items()}

    def as_it_was(value: object) -> object:
        if isinstance(value, dict):
            return {key: as_it_was(one) for key, one in value.items()}
        full = SHORT_NAMES.get(value) if isinstance(value, str) else None
        return value if full is None else before.get(full, full)

    assert with_class_paths(as_it_was(config), SHORT_NAMES) == with_class_paths(config, SHORT_NAMES)
