import csv
import json
import re
import shlex
import signal
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from peft import PeftModel
from transformers import AutoModelForImageTextToText

from lightning_c3l.cli.trainer import C3LCLI, run_trainer
from lightning_c3l.runs.listing import read_run
from tests.helpers.commandline import run, run_here, start, tiny_config, write_images


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tiny_checkpoint) -> tuple[Path, Path, str]:
    """A whole run on a folder with one broken picture: (work folder, run folder, what was printed)."""
    work = tmp_path_factory.mktemp("fit")
    write_images(work / "images", 4)
    (work / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    (work / "images" / "photo.heic").write_bytes(b"nobody reads this")
    path = tiny_config(work, tiny_checkpoint, i2c={"reading": "gap"})
    status, printed = run("fit", "--config", str(path), cwd=work)
    assert status == 0, printed
    return work, work / "runs" / "tiny" / "version_0", printed


def test_a_run_leaves_what_the_readme_says(finished):
    _, folder, printed = finished
    data_set = ("vlit.json", "vlit.meta.json", "vlit.parquet", "vlit.card.md", "vlit.card.svg")
    for name in ("config.yaml", *data_set, "summary.json", "report.html"):
        assert (folder / name).is_file(), (name, printed)
    assert (folder / "checkpoints" / "last.ckpt").is_file()
    assert {path.name for path in (folder / "rounds").iterdir()} == {"0", "1", "final"}
    assert not list(folder.rglob(".tmp-*"))
    assert read_run(folder).status == "finished"


def test_the_page_made_again_is_the_one_of_the_run(finished, capsys):
    _, folder, _ = finished
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    status, printed = run_here(capsys, "report", str(folder))
    assert status == 0, printed
    assert (folder / "report.html").read_bytes() == before


def test_the_reading_of_the_rounds_is_that_of_the_export_unless_given(finished, tmp_path, tiny_checkpoint, monkeypatch):
    _, folder, _ = finished
    assert yaml.safe_load((folder / "config.yaml").read_text())["export"]["reading"] == "gap"
    write_images(tmp_path / "images", 2)
    path, read = tiny_config(tmp_path, tiny_checkpoint), dict[str, str]()

    class Enough(Exception):
        pass

    def stop(cli: C3LCLI) -> None:
        config = cli.config[cli.subcommand]
        read.update(i2c=config.i2c.reading, export=config.export.reading)
        raise Enough

    monkeypatch.setattr(C3LCLI, "instantiate_classes", stop)
    for words, found in (
        ([], ("answer", "answer")),
        (["--i2c.reading", "gap"], ("gap", "gap")),
        (["--i2c.reading", "gap", "--export.reading", "vocabulary"], ("gap", "vocabulary")),
        (["--export.reading", "vocabulary"], ("answer", "vocabulary")),
    ):
        for verb in ("fit", "predict"):
            with pytest.raises(Enough):
                run_trainer([verb, "--config", str(path), *words])
            assert (read["i2c"], read["export"]) == found


def test_broken_pictures_are_listed_and_the_run_goes_on(finished):
    _, folder, printed = finished
    rows = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == ["broken.png"]
    assert rows[0]["reason"]
    assert "1 of 5 images left out" in printed
    assert "not counted as images: 1 .heic" in printed


def test_records_of_the_data_set(finished):
    _, folder, _ = finished
    records = json.loads((folder / "vlit.json").read_text())
    root = folder / json.loads((folder / "vlit.meta.json").read_text())["image_root"]
    assert records
    for record in records:
        assert (root / record["image"]).is_file()
        human, model = record["conversations"]
        assert human["from"] == "human"
        assert human["value"].startswith("<image>\n")
        assert model["from"] == "gpt"
        assert model["value"]
    table = pq.read_table(folder / "vlit.parquet")
    assert table.num_rows == len(records)
    assert {"score_answer", "score_positions", "score_vocabulary", "score_gap"} <= set(table.column_names)
    # no picture and question twice
    asked = [(record["image"], record["conversations"][0]["value"].casefold()) for record in records]
    assert len(set(asked)) == len(asked)


def test_candidates_add_up(finished):
    _, folder, _ = finished
    for number in (0, 1):
        rows = [json.loads(line) for line in (folder / f"rounds/{number}/candidates-00000.jsonl").open()]
        figures = json.loads((folder / f"rounds/{number}/round.json").read_text())
        # 4 readable pictures, 4 kinds, 3 samples
        assert len(rows) == figures["candidates"] == 4 * 4 * 3
        assert {row["fate"] for row in rows} <= {"positive", "negative", "duplicate", "rejected"}
        assert sum(row["fate"] == "positive" for row in rows) == figures["groups"]
        assert all((row["scores"] is None) == (row["fate"] == "rejected") for row in rows)
        assert {"generate", "score", "select", "train"} <= set(figures["seconds"])


def test_the_adapter_loads_with_peft_and_was_trained(finished, tiny_checkpoint):
    _, folder, _ = finished
    model = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(tiny_checkpoint), folder / "adapter")
    updates = [p for name, p in model.named_parameters() if "lora_B" in name]
    assert updates
    assert any(bool((p != 0).any()) for p in updates)


def test_checkpoints_hold_no_frozen_weight_and_no_pickled_code(finished):
    _, folder, _ = finished
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    # of no use here: nothing is built from a checkpoint
    assert "hyper_parameters" not in state
    names = set(state["state_dict"])
    assert all("lora_" in name or name.startswith("contrastive.") for name in names)
    assert any("lora_" in name for name in names)


def test_predict_writes_a_data_set_with_a_trained_checkpoint(finished, capsys):
    work, folder, _ = finished
    write_images(work / "other", 3)
    status, printed = run_here(
        capsys,
        "predict",
        *("--config", str(work / "tiny.yaml"), "--data.images", str(work / "other")),
        *("--ckpt_path", str(folder / "checkpoints" / "last.ckpt"), "--export.target_size", "5"),
    )
    assert status == 0, printed
    records = json.loads((work / "runs" / "tiny" / "version_1" / "vlit.json").read_text())
    assert 0 < len(records) <= 5
    assert {record["image"] for record in records} <= {f"picture {n}.png" for n in range(3)}
    card = (work / "runs" / "tiny" / "version_1" / "vlit.card.md").read_text()
    assert "weights of tiny/version&#95;0/checkpoints/last.ckpt" in card
    # the run that was read from stays as it was
    assert json.loads((folder / "vlit.json").read_text()) != records


def test_a_users_mistake_is_one_line(tmp_path, tiny_checkpoint, capsys):
    """The other mistakes are in `test_preflight.py` and `test_parser.py`."""
    status, printed = run_here(capsys, "fit", "--config", str(tiny_config(tmp_path, tiny_checkpoint)))
    errors = [line for line in printed.splitlines() if line.startswith("error:")]
    assert status == 2
    assert len(errors) == 1, printed
    assert "images: no such folder" in errors[0]
    assert "Traceback" not in printed
    assert not list(tmp_path.rglob("version_*"))


def test_a_checkpoint_without_processor_is_one_line(tmp_path, tiny_checkpoint, capsys):
    bare = tmp_path / "bare"
    AutoModelForImageTextToText.from_pretrained(tiny_checkpoint).save_pretrained(bare)
    write_images(tmp_path / "images", 2)
    status, printed = run_here(capsys, "fit", "--config", str(tiny_config(tmp_path, bare)))
    errors = [line for line in printed.splitlines() if line.startswith("error:")]
    assert status != 0
    assert len(errors) == 1, printed
    assert "processor" in errors[0]
    assert str(bare) in errors[0]
    assert "Traceback" not in printed
    # nor the folder of the experiment
    assert not list((tmp_path / "runs").rglob("*"))


def test_texts_that_nobody_can_parse_stop_the_run_with_a_reason(tmp_path, tiny_checkpoint, capsys):
    write_images(tmp_path / "images", 2)
    path = tiny_config(tmp_path, tiny_checkpoint)
    status, printed = run_here(capsys, "fit", "--config", str(path), "--model.writing.begin", "")
    assert status != 0
    said = r"^error: round 0 has no group to train on: none of 24 texts .*The templates \(scenes\) must ask for "
    assert re.search(said, printed, re.MULTILINE), printed
    # what was written is kept, so that one can see why
    rows = (tmp_path / "runs/tiny/version_0/rounds/0/candidates-00000.jsonl").read_text().splitlines()
    assert all(json.loads(row)["candidate"]["rejected"] for row in rows)
    assert read_run(tmp_path / "runs/tiny/version_0").status == "failed"


def test_ctrl_c_leaves_a_checkpoint_and_the_command_that_goes_on(tmp_path, tiny_checkpoint, capsys, monkeypatch):
    write_images(tmp_path / "images", 3)
    path = tiny_config(tmp_path, tiny_checkpoint)
    words = ("fit", "--config", str(path), "--exposure.measure", "false", "--guard.action", "off")
    process = start(*words, "--trainer.max_epochs", "400", cwd=tmp_path)
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith("round 2"):
            process.send_signal(signal.SIGINT)
            break
    rest, _ = process.communicate(timeout=120)
    printed += rest
    assert process.returncode == 130
    assert "Traceback" not in printed
    command = next(line.strip() for line in printed.splitlines() if "--ckpt_path" in line)
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "lightning_c3l"]
    assert Path(words[-1]).is_file()
    assert read_run(tmp_path / "runs/tiny/version_0").status == "interrupted"
    monkeypatch.chdir(tmp_path)
    status, resumed = run_here(capsys, *words[3:], "--trainer.max_epochs", "4")
    assert status == 0, resumed
    folder = tmp_path / "runs" / "tiny" / "version_0"
    assert {path.name for path in (folder / "rounds").iterdir()} >= {"0", "1", "2", "3"}
    assert json.loads((folder / "summary.json").read_text())["rounds"][3]["candidates"] == 3 * 4 * 3
    assert not (tmp_path / "runs" / "tiny" / "version_1").exists()


def test_sigterm_in_training_and_the_same_command_again(tmp_path, tiny_checkpoint, capsys):
    write_images(tmp_path / "images", 4)
    path = tiny_config(tmp_path, tiny_checkpoint)
    # 4 images, 4 kinds, 4 groups a batch: 4 batches a pass
    words = ["fit", "--config", str(path), "--trainer.max_epochs", "1", "--data.passes", "15", "--ckpt_path", "last"]
    words += ["--run.checkpoint_every", "5", "--exposure.measure", "false", "--guard.action", "off"]
    saved = tmp_path / "runs" / "tiny" / "version_0" / "checkpoints" / "last.ckpt"
    first = start(*words, cwd=tmp_path)
    try:
        while not saved.exists():
            assert first.poll() is None, first.stdout.read()
            time.sleep(0.01)
        first.send_signal(signal.SIGSTOP)
        status, printed = run_here(capsys, *words)
        assert status == 2
        errors = [line for line in printed.splitlines() if line.startswith("error:")]
        assert len(errors) == 1, printed
        assert "runs/tiny/version_0 is in use" in errors[0]
        assert f"process {first.pid} on" in errors[0]
        first.send_signal(signal.SIGCONT)
        first.terminate()
        printed, _ = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 143, printed
    assert f"--ckpt_path {saved}" in printed
    assert "Traceback" not in printed
    assert read_run(saved.parents[1]).status == "interrupted"
    done = torch.load(saved, weights_only=True)["global_step"]
    assert 5 <= done < 60
    status, printed = run_here(capsys, *words)
    assert status == 0, printed
    assert torch.load(saved, weights_only=True)["global_step"] == 60
    assert [path.name for path in saved.parents[2].iterdir()] == ["version_0"]
    # the log goes on too, and holds the step at which the run was told to stop
    with (saved.parents[1] / "metrics.csv").open(newline="") as file:
        logged = [int(row["step"]) for row in csv.DictReader(file) if row["train/loss"]]
    assert sorted(logged) == sorted({49, done - 1})
    assert not list(saved.parents[1].rglob(".tmp-*"))


def test_fit_alone_runs_the_demo_and_a_config_keeps_it_out(monkeypatch, tmp_path):
    import lightning_c3l.cli.trainer as cli
    from lightning_c3l.cli import main as entry

    seen = []
    monkeypatch.setattr(cli, "run_trainer", seen.append)
    assert entry.main(["fit"]) == 0
    mine = tmp_path / "mine.yaml"
    mine.write_text("{}\n")
    assert entry.main(["fit", "--config", str(mine)]) == 0
    assert seen == [["fit", "--config", str(entry.DEMO)], ["fit", "--config", str(mine)]]
    assert entry.DEMO.is_file()
