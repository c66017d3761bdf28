"""What the shipped bases are trained with, and a hash of it: a base must be trained again whenever that changes."""

import ast
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_c3l.runs.digests import sha256_digest
from lightning_c3l.scenes import curriculum as corners
from lightning_c3l.scenes.park import curriculum as park

_SCENES = Path(__file__).parent
_EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"


@dataclass(frozen=True)
class Recipe:
    """How a world's base is made.

    Attributes:
        folder: where it is shipped.
        experiment: file of its training.
        sources: what decides its training records and its network, relative to this package.
        corpus: texts that its tokenizer is trained on.
        vocabulary: most tokens of that.
        image: side of its images, in pixels.
    """

    folder: Path
    experiment: Path
    sources: tuple[str, ...]
    corpus: Callable[[], Iterable[str]]
    vocabulary: int
    image: int

    def hash(self) -> str:
        """Hash of scene sources, training configuration and tokenizer.

        Comments, docstrings, layout and imports do not count, nor do class paths and the notes at the head of the
        experiment file.
        """
        from lightning_c3l.scenes.checkpoint import build_tokenizer  # late: it imports transformers

        trees = [ast.parse((_SCENES / name).read_text(encoding="utf-8")) for name in self.sources]
        config = yaml.safe_load(self.experiment.read_text(encoding="utf-8"))
        return sha256_digest(
            *(ast.dump(_essence(tree)) for tree in trees),
            json.dumps(_without_class_paths(config), sort_keys=True),
            build_tokenizer(sorted(self.corpus()), self.vocabulary).backend_tokenizer.to_str(),
            digits=16,
        )


BASES: Mapping[str, Recipe] = {
    "corners": Recipe(
        folder=_SCENES / "base",
        experiment=_EXPERIMENTS / "scenes_base.yaml",
        sources=("world.py", "drawing.py", "language.py", "checkpoint.py", "curriculum.py"),
        corpus=corners.corpus,
        vocabulary=512,
        image=48,
    ),
    "park": Recipe(
        folder=_SCENES / "park" / "base",
        experiment=_EXPERIMENTS / "park_base.yaml",
        sources=(
            *("park/world.py", "park/drawing.py", "park/language.py", "park/curriculum.py"),
            *("checkpoint.py", "curriculum.py"),
        ),
        corpus=park.corpus,
        vocabulary=640,
        image=72,
    ),
}


def _essence(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        body[:] = [one for one in body if not isinstance(one, ast.Import | ast.ImportFrom)]
        if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            del body[0]
    return tree


def _without_class_paths(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_class_paths(item) for key, item in value.items() if key != "class_path"}
    return value
