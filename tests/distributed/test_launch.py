"""What processes settle that nobody but their environment ties together."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from lightning_c3l.distributed import launch

# rank, or "refuse"; then joins the others, as Lightning will
SETTLE = """
import os, sys
from lightning_c3l.distributed import launch
def choose():
    if "refuse" in sys.argv:
        raise ValueError("the folder is in use")
    return f"chosen by {os.getpid()}"
try:
    # a line in one write: torchrun's processes share a pipe and do not buffer
    sys.stdout.write(launch.from_rank_zero(choose, int(sys.argv[1])) + "\\n")
    sys.stdout.flush()
except ValueError as error:
    sys.exit(f"error: {error}")
if "join" in sys.argv:
    import torch.distributed as dist
    place = launch.environment()
    rank = int(os.environ.get("NODE_RANK", os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))))
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = place.main_address, str(place.main_port)
    dist.init_process_group("gloo", world_size=2, rank=rank)
    dist.barrier()
    print("joined", dist.get_world_size(), flush=True)
"""


def environment(**own: str) -> dict[str, str]:
    starts = ("C3L_", "SLURM_", "TORCHELASTIC_", "MASTER_", "NODE_RANK", "LOCAL_RANK", "RANK", "WORLD_SIZE")
    return {k: v for k, v in os.environ.items() if not k.startswith(starts)} | {"GLOO_SOCKET_IFNAME": "lo"} | own


def port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def settle(environments: list[dict[str, str]], *words: str) -> list[tuple[int, str, str]]:
    """Status, output and errors of each process; the last one begins first."""
    command = [sys.executable, "-c", SETTLE, *words]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, env=one, stdout=pipe, stderr=pipe, text=True) for one in reversed(environments)]
    try:
        return [(process.wait(100), process.stdout.read(), process.stderr.read()) for process in reversed(both)]
    finally:
        for process in both:
            process.kill()


def hosts() -> list[dict[str, str]]:
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port()}
    return [environment(**place, NODE_RANK=str(rank)) for rank in (0, 1)]


def tasks() -> list[dict[str, str]]:
    """What `srun` sets, one node and two tasks."""
    names = {
        "NTASKS": "2",
        "NTASKS_PER_NODE": "2",
        "JOB_ID": "7",
        "JOB_NAME": "train",
        "NODEID": "0",
        "NODELIST": "127.0.0.1",
    }
    slurm = {f"SLURM_{name}": value for name, value in names.items()} | {"MASTER_PORT": port()}
    return [environment(**slurm, SLURM_PROCID=rank, SLURM_LOCALID=rank) for rank in ("0", "1")]


@pytest.mark.parametrize(("start", "nodes"), [(hosts, "2"), (tasks, "1")])
def test_all_get_what_the_first_chooses_and_meet_at_the_same_address_later(start, nodes):
    first, other = settle(start(), nodes, "join")
    assert first[0] == other[0] == 0, (first, other)
    assert first[1] == other[1]
    assert first[1].startswith("chosen by ")
    assert first[1].endswith("joined 2\n")


def test_a_refusal_reaches_all():
    for status, said, errors in settle(hosts(), "2", "refuse"):
        assert (status, said) == (1, "")
        assert "error: the folder is in use" in errors.splitlines()


def test_a_refusal_reaches_who_comes_late():
    first, other = hosts()
    command = [sys.executable, "-c", SETTLE, "2", "refuse"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=first, stdout=pipe, stderr=pipe, text=True) as refusing:
        # it has said what is wrong, and ends
        said = next(line for line in refusing.stderr if line.startswith("error"))
        late = subprocess.run(command, env=other, capture_output=True, text=True, timeout=100)
        assert refusing.wait(100) == late.returncode == 1
    assert said == "error: the folder is in use\n"
    assert late.stderr.splitlines()[-1] == "error: the folder is in use"


FAIL_ONCE = """
import time
from pathlib import Path
if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    # torchrun ends the other one as soon as one has failed
    here = Path(__file__).parent
    (here / os.environ["RANK"]).touch()
    while not all((here / rank).exists() for rank in "01"):
        time.sleep(0.01)
    os._exit(1)
"""


def test_torchrun_even_where_an_earlier_start_has_failed(tmp_path):
    # the first start ends with an error after it has settled; the store with its answer lives on
    (tmp_path / "settle.py").write_text(SETTLE + FAIL_ONCE)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1"]
    command += ["--master-port", port(), "--monitor-interval", "0.1", str(tmp_path / "settle.py"), "1"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120)
    chosen = [line for line in done.stdout.splitlines() if line.startswith("chosen")]
    assert done.returncode == 0, done.stderr
    assert len(chosen) == 4
    assert len(set(chosen[:2])) == len(set(chosen[2:])) == 1
    assert chosen[0] != chosen[2]


@pytest.fixture
def alone(monkeypatch):
    """Nobody has started this process but a user."""
    for name in os.environ.keys() - environment().keys():
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("alone")
def test_one_process_asks_nobody():
    assert launch.from_rank_zero(lambda: "mine", 1) == "mine"


@pytest.mark.usefixtures("alone")
def test_nodes_without_an_address_are_refused():
    with pytest.raises(ValueError, match="MASTER_ADDR and MASTER_PORT"):
        launch.from_rank_zero(lambda: "mine", 2)


PARENT = """
import os, subprocess, sys, time
child = '''
import sys, time
from lightning_c3l.distributed import launch
launch.end_with(int(sys.argv[1]))
print("up", flush=True)
time.sleep(90)
'''
subprocess.Popen([sys.executable, "-c", child, str(os.getpid())])
time.sleep(90)
"""


def test_a_child_ends_with_its_parent():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "up\n"
    parent.send_signal(signal.SIGKILL)
    began = time.monotonic()
    # the child has the other end of the pipe
    assert parent.stdout.read() == ""
    assert time.monotonic() - began < 10
    parent.wait()


def test_a_child_whose_parent_has_gone_already_does_not_begin():
    command = "from lightning_c3l.distributed import launch; launch.end_with(999999); print('began')"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
