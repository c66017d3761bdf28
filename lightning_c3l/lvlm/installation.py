"""Packages that are missing, or are installed but do not work together."""

import re
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from shlex import quote

# of a checkout; of an installed package, the folder of all packages
_ROOT = Path(__file__).parents[2]


def install_command(*words: str) -> str:
    """The command that installs a package, without another torch: that can take gigabytes of CUDA libraries along.

    A checkout has a list of tested versions. Without one, only the version of torch is held.

    Args:
        words: a requirement, such as `peft>=0.19`, maybe with options of pip before it; or an extra of this project in
            brackets, such as `[vision]`.
    """
    is_extra = words[0].startswith("[")
    if (_ROOT / "constraints.txt").is_file():
        root = Path() if Path.cwd() == _ROOT else _ROOT
        held = ["--constraint", str(root / "constraints.txt")]
        words = ("-e", f"{root}{words[0]}") if is_extra else words
    else:
        words = (f"lightning_c3l{words[0]}",) if is_extra else words
        installs_torch = any(re.match(r"torch\b", word) for word in words) or find_spec("torch") is None
        held = [] if installs_torch else [f"torch=={version('torch').partition('+')[0]}"]
    return " ".join(["pip install", *map(quote, (*held, *words))])


def torchvision_problem(error: BaseException) -> str:
    """What to do if an error says that torchvision is built for another torch; empty for any other error.

    torchmetrics, transformers and processors import torchvision wherever it is installed. Beside a CPU build of torch,
    for instance, its ordinary wheel finds no operators.
    """
    if not isinstance(error, RuntimeError) or "torchvision::" not in str(error):
        return ""
    return (
        f"torchvision {version('torchvision')} does not fit torch {version('torch')} ({error}): install the one that "
        "is built for it (pip install --force-reinstall --no-deps torchvision, with the --index-url of torch), or "
        "uninstall it"
    )


_COMMAND = re.compile(r"pip\s+install\s+[^`\n]*[^`\n.\s]")
_LIBRARY = re.compile(r"requires the ([\w .-]+?) library")


def missing_package(error: BaseException) -> str:
    """What to install if an error says that a package is missing; empty for any other error.

    Args:
        error: of an import, or of transformers, whose messages of several lines name the package and sometimes a
            command.
    """
    text = str(error)
    if not isinstance(error, ImportError):
        return ""
    if re.search("torchvision|num2words", text, re.IGNORECASE):
        return f"needs torchvision or num2words: {install_command('[vision]')}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"needs the package {error.name}: {install_command(error.name.partition('.')[0])}"
    library, command = _LIBRARY.search(text), _COMMAND.search(text)
    if library is None and command is None:
        return ""
    name = library[1] if library else "another package"
    return f"needs {name}: {install_command(*(command[0].split()[2:] if command else [name.lower()]))}"
