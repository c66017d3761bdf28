"""Two processes against one, on real gloo ranks and through the real command line: what a run makes is the same."""

import json
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.helpers.commandline import run, tiny_config, write_images
from tests.helpers.killing import GROUPS, Experiment, same_round

# the tests that share the runs of one process
one_process = pytest.mark.xdist_group("one process")


def one_step(folder: Path, cross_group: bool) -> Experiment:
    """A round and one optimizer step of twelve groups; no dropout, whose masks belong to the processes."""
    folder.mkdir(parents=True, exist_ok=True)
    recorder = {
        "class_path": "tests.helpers.recorders.FirstGradient",
        "init_args": {"file": str(folder / "gradient.pt")},
    }
    loss = {"form": "representation", "cross_group": cross_group}
    model = {"init_args": {"loss": loss, "lvlm": {"init_args": {"lora": {"dropout": 0.0}}}}}
    return Experiment(
        folder,
        rounds=1,
        model=model,
        data={"init_args": {"fresh": "scenes:count=2,follow=0.2,seed=2"}},
        trainer={"max_steps": 1, "callbacks": [recorder]},
    )


def gradient(experiment: Experiment) -> dict[str, torch.Tensor]:
    return torch.load(experiment.home / "gradient.pt", weights_only=True)


def same_gradient(found: Experiment, whole: Experiment) -> None:
    """Every weight that is trained, the projection head among them."""
    got, expected = gradient(found), gradient(whole)
    assert got.keys() == expected.keys()
    assert any("lora_B" in name for name in got)
    assert any(name.startswith("contrastive.") for name in got)
    assert max(float(one.abs().max()) for one in expected.values()) > 1e-3
    for name, one in got.items():
        torch.testing.assert_close(
            one, expected[name], rtol=0, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}"
        )


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> dict[bool, Experiment]:
    """One process, without and with the negatives of other images."""
    made = {flag: one_step(tmp_path_factory.mktemp("alone"), flag) for flag in (False, True)}
    for experiment in made.values():
        experiment.finish(1)
    return made


@pytest.mark.slow
@one_process
@pytest.mark.parametrize("cross_group", [False, True])
def test_records_and_first_gradient(tmp_path, alone, cross_group):
    found = one_step(tmp_path, cross_group)
    found.finish(2)
    same_round(found, alone[cross_group], 0)
    same_gradient(found, alone[cross_group])


@pytest.mark.slow
@one_process
def test_negatives_of_other_images_make_a_difference(alone):
    """Else the test above would say nothing of gathered negatives."""
    got, expected = gradient(alone[True]), gradient(alone[False])
    assert any(float((got[name] - expected[name]).abs().max()) > 1e-3 for name in got)


@pytest.mark.slow
@one_process
def test_two_hosts(tmp_path, alone):
    found, port = one_step(tmp_path, False), str(free_port())
    nodes = [
        found.start(
            1,
            *("--trainer.strategy", "ddp", "--trainer.num_nodes", "2", "--data.init_args.batch_size", str(GROUPS // 2)),
            extra={"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": str(rank)},
        )
        for rank in (0, 1)
    ]
    assert [node.wait() for node in nodes] == [0, 0], nodes[0].printed[-3000:] + nodes[1].printed[-3000:]
    same_round(found, alone[False], 0)
    same_gradient(found, alone[False])


@pytest.mark.kill
def test_torchrun(tmp_path, alone):
    found = one_step(tmp_path, False)
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(free_port())]
    running = found.start(2, launcher=launcher)
    assert running.wait() == 0, running.printed[-3000:]
    running.end()
    same_round(found, alone[False], 0)
    same_gradient(found, alone[False])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def broken(work: Path, names: list[str]) -> None:
    """Files that end too soon."""
    for name in names:
        (work / "images" / name).write_bytes(b"\x89PNG\r\n\x1a\nnothing more")


def records(work: Path, processes: int, checkpoint: Path, *more: str, verb: str = "fit") -> dict[str, Any]:
    """Candidates by what they are about, with their scores, and the pairs of the data set."""
    wandb = {"wandb": "c3l", "wandb_mode": "offline"}
    path = tiny_config(work, checkpoint, run={"root": str(work / f"runs-{processes}"), "name": "tiny", **wandb})
    spread = [] if processes == 1 else ["--trainer.strategy", "ddp", "--trainer.devices", str(processes)]
    words = [verb, "--config", str(path), "--trainer.max_epochs", "1", "--data.init_args.batch_size", "2", *spread]
    if verb == "fit":
        words += ["--exposure.measure", "false"]
    status, printed = run(*words, *more, cwd=work, timeout=600)
    assert status == 0, printed[-3000:]
    folder = work / f"runs-{processes}" / "tiny" / "version_0"
    name = "rounds/0/candidates-00000.jsonl" if verb == "fit" else "vlit-candidates.jsonl"
    rows = [json.loads(line) for line in (folder / name).read_text().splitlines()]
    # only the first process has a run there, and talks of it
    assert len(list(folder.glob("wandb/offline-run-*"))) == 1
    assert [line.count("W&B: offline (run.wandb_mode): wandb sync") for line in printed.splitlines()].count(1) == 1
    left_out = folder / "rejected.jsonl"
    return {
        "rows": rows,
        "rejected": left_out.read_text().splitlines() if left_out.exists() else [],
        "pairs": len(json.loads((folder / "vlit.json").read_text())),
    }


def same(found: dict[str, Any], whole: dict[str, Any]) -> None:
    """Candidates, statuses and scores."""
    keys = [[(row["candidate"], row["fate"]) for row in one["rows"]] for one in (found, whole)]
    assert keys[0] == keys[1]
    for row, other in zip(found["rows"], whole["rows"], strict=True):
        for name, value in (other["scores"] or {}).items():
            assert row["scores"][name] == pytest.approx(value, abs=1e-5)
        assert row["shuffled"] == (None if other["shuffled"] is None else pytest.approx(other["shuffled"], abs=1e-5))
    assert found["rejected"] == whole["rejected"]
    assert found["pairs"]


@pytest.mark.parametrize(
    ("images", "unreadable", "processes"),
    [
        pytest.param(5, [], 2, marks=pytest.mark.kill),
        pytest.param(1, [], 2, marks=pytest.mark.kill),
        pytest.param(2, [], 3, marks=pytest.mark.kill),
        pytest.param(6, ["picture 0.png", "picture 1.png", "picture 2.png"], 2, marks=pytest.mark.slow),
        pytest.param(6, ["picture 1.png", "picture 3.png", "picture 5.png"], 2, marks=pytest.mark.kill),
    ],
    ids=["uneven", "one image", "two images, three processes", "first half broken", "every second broken"],
)
def test_shares_of_any_size(tmp_path, tiny_checkpoint, images, unreadable, processes):
    write_images(tmp_path / "images", images)
    broken(tmp_path, unreadable)
    found, whole = (records(tmp_path, n, tiny_checkpoint) for n in (processes, 1))
    same(found, whole)
    about = Counter(row["candidate"]["image"] for row in found["rows"])
    assert len(about) == images - len(unreadable)
    # 4 kinds, 3 samples
    assert set(about.values()) == {4 * 3}


@pytest.mark.kill
def test_predict(tmp_path, tiny_checkpoint):
    write_images(tmp_path / "images", 5)
    found, whole = (records(tmp_path, n, tiny_checkpoint, verb="predict") for n in (2, 1))
    same(found, whole)
    assert len(found["rows"]) == 5 * 4 * 3
    assert found["pairs"] == whole["pairs"]
