"""Packages that are installed but do not work together."""

from importlib.metadata import version

import torch


def torchvision_problem(error: BaseException) -> str:
    """What to do if an error says that torchvision is built for another torch; empty for any other error.

    torchmetrics, transformers and processors import torchvision wherever it is installed. Beside a CPU build of torch,
    for instance, its ordinary wheel finds no operators.
    """
    if not isinstance(error, RuntimeError) or "torchvision::" not in str(error):
        return ""
    return (
        f"torchvision {version('torchvision')} does not fit torch {torch.__version__} ({error}): install the one that "
        "is built for it (pip install --force-reinstall torchvision, with the --index-url of torch), or uninstall it"
    )
