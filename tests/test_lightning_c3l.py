"""What `import lightning_c3l` offers: names that cost nothing until they are used, and that type checkers see."""

import ast
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import pytest

import lightning_c3l

# of another process: whatever this one has imported
IMPORT = """
import resource, sys
before = set(sys.modules)
seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime
import lightning_c3l
dir(lightning_c3l)
print(resource.getrusage(resource.RUSAGE_SELF).ru_utime - seconds)
print(*sorted(name for name in set(sys.modules) - before if not name.startswith("lightning_c3l")))
"""


def declared() -> dict[str, str]:
    """Module of each name that a type checker sees."""
    tree = ast.parse(Path(str(lightning_c3l.__file__)).read_text())
    (block,) = (one for one in tree.body if isinstance(one, ast.If))
    imports = [one for one in block.body if isinstance(one, ast.ImportFrom)]
    # `import X as X`: other imports are none of the package's own names to a type checker
    assert all(name.name == name.asname for one in imports for name in one.names)
    return {name.name: str(one.module) for one in imports for name in one.names}


def test_importing_is_free() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    seconds, modules = done.stdout.split("\n")[:2]
    assert float(seconds) < 0.1
    assert not {"torch", "transformers", "lightning", "numpy", "PIL"} & {
        one.partition(".")[0] for one in modules.split()
    }


def test_every_name_is_there_and_is_what_type_checkers_take_it_for() -> None:
    names = declared()
    assert len(names) > 15
    assert {*names, "__version__"} == set(lightning_c3l.__all__)  # type: ignore[attr-defined]
    assert set(names) <= set(dir(lightning_c3l))
    for name, module in names.items():
        assert getattr(lightning_c3l, name) is getattr(import_module(module), name)
    assert lightning_c3l.__version__ == version("lightning_c3l")


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="module 'lightning_c3l' has no attribute 'nothing'"):
        lightning_c3l.nothing  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError):
        from lightning_c3l import nothing  # type: ignore[attr-defined]  # noqa: F401
