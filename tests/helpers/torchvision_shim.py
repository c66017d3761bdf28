"""torchvision and timm for this process alone, from a folder that no other process looks into.

There is no torchvision for torch's CPU builds. Its ordinary wheel does on them, once the operators that its Python
code names are declared; none of the image processors calls one. Users of a GPU take the extra `vision` instead.
"""

import sys
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

FOLDER = Path(sys.prefix) / "torchvision"
# timm, which some vision towers are made of, imports torchvision
NAMES = ("torchvision", "timm")


class Finder(MetaPathFinder):
    """Finds torchvision in the folder where it is not installed: not by `sys.path`, which spawned processes inherit."""

    def __init__(self) -> None:
        # operators are forgotten with the object that declared them
        self.declared: Any = None

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Declare the operators before anything is imported."""
        if name not in NAMES or not FOLDER.is_dir():
            return None
        if name == "torchvision" and self.declared is None:
            self.declared = declare_operators()
        return PathFinder.find_spec(name, [str(FOLDER)])


def declare_operators() -> Any:
    """Load the wheel's own operators or, where it was made for another torch, declare those that it names."""
    # here, so that tests without a model need not wait for it; untyped in parts
    torch: Any = import_module("torch")

    try:
        torch.ops.load_library(str(next(FOLDER.glob("torchvision/_C*.so"))))
    except OSError:
        from torch import library as registry

        operators = registry.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return operators
    return True


def enable() -> None:
    """Let this process import torchvision; to be called before transformers asks what is installed."""
    sys.meta_path.append(Finder())


def missing() -> str | None:
    """What to do about it where torchvision is not installed."""
    return None if FOLDER.is_dir() else f"torchvision for the tests is not at {FOLDER}: run `make install`"
