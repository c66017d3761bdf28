"""For `doctor`: versions, and which extras are installed."""

import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from lightning_c3l.cli.finding import Finding
from lightning_c3l.lvlm.installation import install_command

_PROJECT = "lightning_c3l"
# in a line of their own, in this order
_SHOWN = ("torch", "lightning", "transformers", "peft", "wandb")
# what setup.cfg offers to users, without `dev` and `docs`
EXTRAS = {
    "images": "the easy-VQA pictures of `make demo-images`, as a package",
    "datasets": "images of data sets that Hugging Face's save_to_disk wrote",
    "vision": "processors of Qwen2.5-VL, LLaVA-OneVision, InternVL and SmolVLM",
    "timm": "towers of Perception LM and FastVLM",
    "qlora": "adapters on weights in 4 or 8 bits; needs a CUDA GPU",
    "deepspeed": "strategies that split optimizer and weights; needs CUDA GPUs",
    "judge": "a judge behind an OpenAI-compatible endpoint",
    "served": "generation on inference servers",
}


def packages() -> Iterator[Finding]:
    """Python, this project, and what it requires."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}: {sys.executable}")
    yield Finding(_PROJECT, "ok", version(_PROJECT))
    needed = {one.name: one for one in _requirements()}
    problems = {name: _problem(one) for name, one in needed.items()}
    shown = [name for name in _SHOWN if name in needed]
    for name in (*shown, *(name for name in needed if name not in shown and problems[name])):
        if problems[name]:
            yield Finding(
                name, "problem", problems[name], install_command(f"{needed[name].name}{needed[name].specifier}")
            )
        else:
            yield Finding(name, "ok", version(name))
    others = [name for name in sorted(needed) if name not in shown and not problems[name]]
    yield Finding("other packages", "ok", ", ".join(f"{name} {version(name)}" for name in others))


def extras() -> Iterator[Finding]:
    """What can be installed in addition, and what for."""
    for extra, purpose in EXTRAS.items():
        missing = [one.name for one in _requirements(extra) if _problem(one)]
        if missing:
            yield Finding(
                f"[{extra}]",
                "note",
                f"not installed: {', '.join(missing)}",
                f"for {purpose}: {install_command(f'[{extra}]')}",
            )
        else:
            yield Finding(f"[{extra}]", "ok", f"installed: {purpose}")


def _requirements(extra: str = "") -> list[Requirement]:
    """What the project requires; with the name of an extra, what that adds."""
    found = map(Requirement, requires(_PROJECT) or [])
    if not extra:
        return [one for one in found if one.marker is None]
    return [one for one in found if one.marker is not None and one.marker.evaluate({"extra": extra})]


def _problem(one: Requirement) -> str:
    """Why an installation does not meet a requirement; empty where it does."""
    try:
        there = version(one.name)
    except PackageNotFoundError:
        return "not installed"
    return "" if one.specifier.contains(there, prereleases=True) else f"{there}, but {one.specifier} is needed"
