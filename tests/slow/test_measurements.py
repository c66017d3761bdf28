"""What a short run of the demonstration measures at its end, on one process and on two."""

import json

import pytest

from tests.helpers.commandline import ROOT, run

pytestmark = pytest.mark.kill
SHORT = ["--i2c.images_per_round", "12", "--data.init_args.limit", "12", "--run.wandb", "null"]
# the same batches, in two halves
TWO = ["--data.init_args.batch_size", "8", "--trainer.devices", "2", "--trainer.strategy", "ddp"]


def measured(folder, *words: str):
    given = ["fit", "--config", "experiments/demo_corners.yaml", "--run.root", str(folder), *SHORT, *words]
    status, printed = run(*given, cwd=ROOT, timeout=600)
    assert status == 0, printed[-3000:]
    summary = json.loads((folder / "demo-corners/version_0/summary.json").read_text())
    return summary, printed


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    return folder, measured(folder)[0]


def test_two_processes_measure_what_one_measures(alone, tmp_path):
    summary, printed = measured(tmp_path, *TWO)
    assert "training again on the stored rounds" in printed
    assert summary["writers"] == alone[1]["writers"]
    conditions = alone[1]["exposure_bias"]
    assert list(conditions) == ["starting model", "tuned, lambda 0.3", "tuned, lambda 0"]
    assert len({figures["nll, own"] for figures in conditions.values()}) == 3
    for name, figures in conditions.items():
        assert summary["exposure_bias"][name] == {key: value and pytest.approx(value, abs=1e-4)
                                                  for key, value in figures.items()}  # fmt: skip


def test_a_run_that_goes_on_at_its_end_measures_nothing_again(alone):
    folder, before = alone
    summary, printed = measured(folder, "--ckpt_path", str(folder / "demo-corners/version_0/checkpoints/last.ckpt"))
    assert "training again on the stored rounds" not in printed
    assert "exposure: write" not in printed
    assert summary["exposure_bias"] == before["exposure_bias"]
    assert summary["writers"] == before["writers"]
