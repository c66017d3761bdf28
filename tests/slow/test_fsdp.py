"""FSDP2 on two gloo processes through the command line: rounds, the exported adapter, and a killed run that goes on."""

import json
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.commandline import ROOT, run, start, tiny_config, write_images

pytestmark = pytest.mark.kill
OVERLAY = ("--config", str(ROOT / "experiments" / "hardware" / "fsdp.yaml"))
TWO = ("--trainer.accelerator", "cpu", "--trainer.devices", "2")


def words(folder: Path, checkpoint: Path) -> tuple[str, ...]:
    write_images(folder / "images", 6)
    return ("fit", "--config", str(tiny_config(folder, checkpoint)), *OVERLAY, *TWO, "--exposure.measure", "false")


def adapter(run_folder: Path) -> dict[str, torch.Tensor]:
    return load_file(run_folder / "adapter" / "adapter_model.safetensors")


def killed(command: tuple[str, ...], folder: Path) -> None:
    """Start a run, and kill it while it makes its second round."""
    process = start(*command, cwd=ROOT)
    try:
        until = time.monotonic() + 300
        while not (folder / "rounds" / "1").is_dir():
            assert time.monotonic() < until
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()


def test_a_killed_run_goes_on_to_the_same_weights(tiny_checkpoint: Path, tmp_path: Path) -> None:
    whole, broken = (tmp_path / name for name in ("whole", "broken"))
    status, printed = run(*words(whole, tiny_checkpoint), cwd=ROOT, timeout=600)
    assert status == 0, printed[-3000:]
    expected = whole / "runs" / "tiny" / "version_0"
    stored = torch.load(expected / "checkpoints" / "last.ckpt", weights_only=False)["state_dict"]
    # whole tensors, of trained weights alone
    assert len(stored) == 30
    names = {name.removeprefix("network.").replace(".default", ""): value for name, value in stored.items()}
    assert all(torch.equal(names[name], value) for name, value in adapter(expected).items())

    command, found = words(broken, tiny_checkpoint), broken / "runs" / "tiny" / "version_0"
    killed(command, found)
    before = torch.load(found / "checkpoints" / "last.ckpt", weights_only=False)
    assert before["global_step"] > 0
    status, printed = run(*command, "--ckpt_path", "last", cwd=ROOT, timeout=600)
    assert status == 0, printed[-3000:]
    ours, theirs = adapter(found), adapter(expected)
    assert ours.keys() == theirs.keys()
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)
    pairs = [json.loads((folder / "vlit.json").read_text()) for folder in (found, expected)]
    assert pairs[0] == pairs[1]
    assert pairs[0]
