"""A tiny Qwen2.5-VL with random weights on a real server: images of any size, positions on three axes, a tied head."""

import json
from pathlib import Path

import pytest
import yaml

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.lvlm.served.generator import ServedGenerator
from tests.helpers.commandline import run_here, tiny_config, write_images
from tests.helpers.families.qwen import build_qwen
from tests.vllm.server import RealServer, move_weights

IMAGES = 6


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("qwen") / "model"
    # vLLM's attention on CPUs takes no heads of fewer than 32 numbers
    build_qwen(folder, heads=2)
    return folder


@pytest.fixture(scope="module")
def server(serve, checkpoint: Path) -> RealServer:
    return serve(str(checkpoint))


def test_two_rounds_with_adapters(
    server: RealServer, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "images", IMAGES)
    file = tiny_config(tmp_path, checkpoint)
    config = yaml.safe_load(file.read_text())
    config["model"]["init_args"]["generator"] = server.generator()
    file.write_text(yaml.safe_dump(config))
    with server.counting() as requests:
        status, printed = run_here(capsys, "fit", "--config", str(file))
    assert status == 0, printed[-3000:]
    # a trial, an adapter for round 1, and another one for the data set
    assert (requests["load"], requests["unload"]) == (3, 2)
    rounds = tmp_path / "runs" / "tiny" / "version_0" / "rounds"
    for name in ("0", "1", "final"):
        assert "vllm" in json.loads((rounds / name / "manifest.json").read_text())["generator"]
    for number in ("0", "1"):
        rows = [json.loads(line) for line in (rounds / number / "candidates-00000.jsonl").read_text().splitlines()]
        assert len({row["candidate"]["image"] for row in rows}) == IMAGES
        # the model is random, but not one text for all
        assert len({row["candidate"]["text"] for row in rows}) > len(rows) / 2


def test_full_fine_tuning_with_a_tied_head_is_refused(server: RealServer, checkpoint: Path) -> None:
    """vLLM 0.32 keeps the old head on a CPU, whatever is reloaded."""
    lvlm, generator = HuggingFaceLVLM(str(checkpoint), lora=None), ServedGenerator(**server.generator()["init_args"])
    move_weights(lvlm, 1)
    refused = pytest.raises(LVLMError, match="keeps the old head under full fine-tuning where it is tied")
    with refused, generator.serving(lvlm):
        pass
