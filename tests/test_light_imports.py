"""Verbs that need no LVLM start without the packages that take seconds to import."""

import subprocess
import sys

import pytest

from data_modules.shard_files import split_member

HEAVY = ("torch", "transformers", "lightning", "torchmetrics", "scipy", "peft", "wandb")
PROBE = "import sys, lightning_c3l.commands.{0}; print([name for name in {1} if name in sys.modules])"


@pytest.mark.parametrize("command", ["convert", "select", "validate_data"])
def test_commands_without_an_lvlm_import_no_framework(command: str) -> None:
    run = subprocess.run([sys.executable, "-c", PROBE.format(command, HEAVY)], capture_output=True, text=True)
    assert run.stdout == "[]\n", run.stderr


@pytest.mark.parametrize(
    "name", ["a.jpg", "x/y.z/b.seg.png", "b", "x/b", ".hidden", "x/.hidden.jpg", "a.", "a..png", "/a.jpg", "é ü.tar.gz"]
)
def test_members_are_split_as_webdataset_splits_them(name: str) -> None:
    from webdataset.tariterators import base_plus_ext

    assert (split_member(name) or (None, None)) == base_plus_ext(name)
