"""The overlays for several GPUs, on a tiny checkpoint and whatever GPUs there are."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.helpers.commandline import ROOT, run, tiny_config, write_images

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA GPUs"),
]
OVERLAYS = ["ddp8", "fsdp", "deepspeed_zero2", "deepspeed_zero3"]


def fit(folder: Path, checkpoint: Path, *words: str) -> Path:
    """Run folder of a fit that must end well."""
    write_images(folder / "images", 7)
    status, printed = run("fit", "--config", str(tiny_config(folder, checkpoint)), *words, cwd=ROOT, timeout=900)
    assert status == 0, printed[-3000:]
    return folder / "runs" / "tiny" / "version_0"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_rounds_go_through_and_leave_a_whole_adapter(overlay: str, tiny_checkpoint: Path, tmp_path: Path) -> None:
    if overlay.startswith("deepspeed") and find_spec("deepspeed") is None:
        pytest.skip("needs the extra deepspeed")
    config = ("--config", str(ROOT / "experiments" / "hardware" / f"{overlay}.yaml"))
    precision = ("--trainer.precision", "bf16-mixed")
    many = fit(tmp_path / "many", tiny_checkpoint, *config, *precision, "--trainer.devices", "2")
    one = fit(tmp_path / "one", tiny_checkpoint, "--trainer.accelerator", "cuda", "--trainer.devices", "1", *precision)
    first, second = (load_file(folder / "adapter" / "adapter_model.safetensors") for folder in (many, one))
    assert {name: value.shape for name, value in first.items()} == {name: v.shape for name, v in second.items()}
    # as many texts about each image, in every round
    texts = [[figures["candidates"] for figures in summary(folder)["rounds"]] for folder in (many, one)]
    assert texts[0] == texts[1]
    assert len(texts[0]) == 2


def summary(folder: Path) -> dict[str, list[dict[str, int]]]:
    return json.loads((folder / "summary.json").read_text())  # type: ignore[no-any-return]
