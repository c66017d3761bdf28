"""For `doctor`: W&B, and whether a shipped model generates and scores. It imports Lightning and transformers."""

import os
import time
from collections.abc import Iterator

from callbacks.wandb_run import decide_mode, find_credentials
from lightning_c3l.cli.finding import Finding
from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.output import readable_output
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.scenes.self_test import self_test
from lightning_c3l.scenes.worlds import WORLDS

_WORLD = "corners"
# the self-test takes less than one where nothing is wrong
_SLOW = 10.0


def wandb() -> Iterator[Finding]:
    """How runs will be logged, and why."""
    mode, has_credentials = decide_mode(None), find_credentials()
    text = f"{mode.name} ({mode.reason}); {'there are' if has_credentials else 'no'} credentials"
    if mode.name == "online":
        yield Finding("W&B", "ok", text)
    elif has_credentials:
        source = "unset WANDB_MODE" if os.environ.get("WANDB_MODE") else "`wandb online`"
        yield Finding("W&B", "note", text, f"{source}, or --run.wandb_mode online for one run")
    else:
        rest = "`wandb sync` uploads what they have logged" if mode.name == "offline" else "nothing is logged there"
        yield Finding("W&B", "note", text, f"runs go on, {rest}; to be online: `wandb login`, or set WANDB_API_KEY")


def shipped_model() -> Iterator[Finding]:
    """Load the shipped model of a world, generate for a scene, and score a true answer beside a false one."""
    began = time.monotonic()
    with readable_output(quiet=True):
        quieten()
        found = self_test(HuggingFaceLVLM(WORLDS[_WORLD].base, lora=None, keep_reference=False), WORLDS[_WORLD])
    seconds = time.monotonic() - began
    text = f"a true answer scores {found.true_score:.2f}, a false one {found.false_score:.2f}, in {seconds:.1f} s"
    if found.problem or not found.tells:
        said = f"; generated {found.generated!r} ({found.problem})" if found.problem else ""
        todo = "the checkpoint or a package is damaged: install this package anew, and report this output"
        yield Finding("self-test", "problem", text + said, todo)
    elif seconds > _SLOW:
        yield Finding("self-test", "note", text, "slow: other programs use the CPU, or OMP_NUM_THREADS is too low")
    else:
        yield Finding("self-test", "ok", text)
