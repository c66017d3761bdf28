"""The overview of verbs."""

import subprocess
import sys

import pytest

from lightning_c3l.__main__ import VERBS


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_every_verb_is_in_the_overview(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "lightning_c3l", *words], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    named = [line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")]
    assert sorted(named) == sorted(["fit", "predict", "test", *VERBS])
