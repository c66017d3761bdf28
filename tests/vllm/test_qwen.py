"""Rounds of a tiny Qwen2.5-VL with random weights on a real server: images of any size, positions on three axes."""

import json
from pathlib import Path

import pytest
import yaml

from tests.helpers.commandline import run_here, tiny_config, write_images
from tests.helpers.families.qwen import build_qwen

IMAGES = 6


def test_two_rounds_with_adapters(serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = tmp_path / "qwen"
    # vLLM's attention on CPUs takes no heads of fewer than 32 numbers
    build_qwen(checkpoint, heads=2)
    server = serve(str(checkpoint))
    write_images(tmp_path / "images", IMAGES)
    file = tiny_config(tmp_path, checkpoint)
    config = yaml.safe_load(file.read_text())
    config["model"]["init_args"]["generator"] = server.generator()
    file.write_text(yaml.safe_dump(config))
    with server.counting() as requests:
        status, printed = run_here(capsys, "fit", "--config", str(file))
    assert status == 0, printed[-3000:]
    # round 0 is the base's own; an adapter for round 1, another one for the data set
    assert (requests["load"], requests["unload"]) == (2, 1)
    rounds = tmp_path / "runs" / "tiny" / "version_0" / "rounds"
    for name in ("0", "1", "final"):
        assert "vllm" in json.loads((rounds / name / "manifest.json").read_text())["generator"]
    for number in ("0", "1"):
        rows = [json.loads(line) for line in (rounds / number / "candidates-00000.jsonl").read_text().splitlines()]
        assert len({row["candidate"]["image"] for row in rows}) == IMAGES
        # the model is random, but not one text for all
        assert len({row["candidate"]["text"] for row in rows}) > len(rows) / 2
