"""Instruction tuning through the real command line."""

import csv
import json
from pathlib import Path

import pytest

from data_modules.scenes import SceneTruth, parse_scenes
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.commandline import ROOT, run_here


def write_set(folder: Path, images: int) -> Path:
    """True answers about scenes, with scores, and a record that cannot be trained on."""
    source, records = parse_scenes(f"scenes:count={images},seed=5"), list[dict[str, object]]()
    for number, one in enumerate(SceneTruth().questions(source.keys())):
        source.read(one.image).save(folder / one.image)
        turns = [{"from": "human", "value": f"<image>\n{one.question}"}, {"from": "gpt", "value": one.answer}]
        scores = {"answer": 0.5 + number % 2, "tokens": 1}
        records.append({"image": one.image, "conversations": turns, "c3l": {"kind": one.kind, "scores": scores}})
    path = folder / "vlit.json"
    path.write_text(json.dumps([*records, {"image": "gone.png", "conversations": turns}]))
    return path


def test_a_set_is_tuned_on_with_weights_and_what_is_broken_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = write_set(tmp_path, 8)
    records = json.loads(written.read_text())
    (tmp_path / records[5]["image"]).write_bytes(b"no picture")
    broken = [number for number, one in enumerate(records, start=1) if one["image"] == records[5]["image"]]
    with pytest.warns(UserWarning, match="1 records are left out"):
        status, printed = run_here(
            capsys,
            *("fit", "--config", str(ROOT / "experiments" / "finetune" / "scenes.yaml"), "--run.root", str(tmp_path)),
            *("--data.records.path", str(written), "--data.batch_size", "8", "--trainer.max_epochs", "2"),
            *("--trainer.log_every_n_steps", "1", "--model.optimization.warmup_steps", "0", "--run.wandb", "null"),
        )
    assert status == 0, printed
    folder = tmp_path / "finetune-scenes" / "version_0"
    left_out = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    assert left_out[0]["key"] == f"{written}, record 33"
    # found while tuning, in both epochs, and listed once
    assert sorted(one["key"] for one in left_out[1:]) == sorted(f"{written}, record {number}" for number in broken)
    assert {one["reason"] for one in left_out[1:]} == {"not an image, or of no supported format"}
    losses = [float(row["train/nll"]) for row in csv.DictReader((folder / "metrics.csv").open()) if row["train/nll"]]
    assert len(losses) == 8
    assert sum(losses[4:]) < sum(losses[:4])
    tuned = HuggingFaceLVLM(str(folder / "model"), lora=None, keep_reference=False)
    assert tuned.fingerprint != HuggingFaceLVLM("shipped:scenes", lora=None, keep_reference=False).fingerprint
