from importlib import import_module

import pytest
from jsonargparse import Namespace

from lightning_c3l.runs.config_file import RENAMED_CLASSES, with_current_classes


@pytest.mark.parametrize("now", RENAMED_CLASSES.values())
def test_renamed_classes_are_there(now: str) -> None:
    module, _, name = now.rpartition(".")
    assert isinstance(getattr(import_module(module), name), type)


def test_class_paths_are_renamed_at_every_depth_and_nothing_else_is() -> None:
    old, now = "lightning_c3l.module.C3LModule", "lightning_c3l.modules.c3l.C3LModule"
    config = {"model": {"class_path": old, "init_args": {"names": [old, "other", 1]}}, "none": None}
    assert with_current_classes(config) == {
        "model": {"class_path": now, "init_args": {"names": [now, "other", 1]}},
        "none": None,
    }
    assert with_current_classes(Namespace(model=Namespace(class_path=old))).model.class_path == now
