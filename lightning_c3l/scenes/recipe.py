"""Hash of everything that determines the shipped base, which must be trained again whenever it changes."""

import ast
import json
from pathlib import Path
from typing import Any

import yaml

from lightning_c3l.runs.digests import sha256_digest
from lightning_c3l.scenes.curriculum import corpus

BASE = Path(__file__).parent / "base"
EXPERIMENT = Path(__file__).resolve().parents[2] / "experiments" / "scenes_base.yaml"
SOURCES = ("world.py", "drawing.py", "language.py", "checkpoint.py", "curriculum.py")


def recipe_hash() -> str:
    """Hash of scene sources, training configuration and tokenizer.

    Comments, docstrings, layout and imports do not count, nor do class paths and the notes at the head of the
    experiment file.
    """
    from lightning_c3l.scenes.checkpoint import build_tokenizer  # late: it imports transformers

    parts = list[str]()
    for name in SOURCES:
        tree = ast.parse((Path(__file__).parent / name).read_text(encoding="utf-8"))
        parts.append(ast.dump(_essence(tree)))
    config = yaml.safe_load(EXPERIMENT.read_text(encoding="utf-8"))
    parts.append(json.dumps(_without_class_paths(config), sort_keys=True))
    parts.append(build_tokenizer(sorted(corpus()), 512).backend_tokenizer.to_str())
    return sha256_digest(*parts, digits=16)


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
