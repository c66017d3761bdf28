"""Packages that are missing, or are installed but do not work together."""

import re
from importlib.metadata import version


def torchvision_problem(error: BaseException) -> str:
    """What to do if an error says that torchvision is built for another torch; empty for any other error.

    torchmetrics, transformers and processors import torchvision wherever it is installed. Beside a CPU build of torch,
    for instance, its ordinary wheel finds no operators.
    """
    if not isinstance(error, RuntimeError) or "torchvision::" not in str(error):
        return ""
    return (
        f"torchvision {version('torchvision')} does not fit torch {version('torch')} ({error}): install the one that "
        "is built for it (pip install --force-reinstall torchvision, with the --index-url of torch), or uninstall it"
    )


# what the processors of several families need
_VISION = "pip install 'lightning_c3l[vision]'"
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
        return f"needs torchvision or num2words: {_VISION}"
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"needs the package {error.name}: pip install {error.name.partition('.')[0]}"
    library, command = _LIBRARY.search(text), _COMMAND.search(text)
    if library is None and command is None:
        return ""
    name = library[1] if library else "another package"
    # a shell takes > for a file
    words = re.sub(r"\S*[<>]\S*", r"'\g<0>'", command[0]).split() if command else ["pip", "install", name.lower()]
    return f"needs {name}: {' '.join(words)}"
