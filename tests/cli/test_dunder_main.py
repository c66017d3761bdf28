"""How `python -m lightning_c3l` ends: by its status, which W&B sees too, or as a trial that an agent has stopped."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# a verb that begins W&B, which replaces `sys.exit` and waits for its server at the end
PROCESS = """
import atexit, os, runpy, sys
from lightning_c3l.cli import main
def verb():
    leave = sys.exit
    def exit(code):
        print("seen", code)
        leave(code)
    sys.exit = exit
    atexit.register(lambda: print("sent"))
    return int(os.environ["STATUS"])
main.main = verb
runpy.run_module("lightning_c3l", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("status", "sweep", "ended"),
    [(0, "", 0), (1, "", 1), (143, "", 143), (143, "abc", -signal.SIGTERM), (2, "abc", 2), (130, "abc", 130)],
)
def test_how_the_process_ends(status, sweep, ended):
    told = {"STATUS": str(status), "WANDB_SWEEP_ID": sweep}
    process = subprocess.run(
        [sys.executable, "-c", PROCESS],
        env={**os.environ, **told},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    # for `wandb agent` a trial has failed if this is above 0
    assert process.returncode == ended, process.stderr
    assert process.stdout == f"seen {status}\nsent\n"


AT_ONCE = """
import sys, threading, time
from lightning_c3l.runs.ending import end_at_once
threading.Thread(target=end_at_once, args=(int(sys.argv[1]),)).start()
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("status", "sweep", "ended"), [(143, "", 143), (130, "abc", 130), (143, "abc", -signal.SIGKILL)]
)
def test_a_process_that_hangs_ends_likewise(status, sweep, ended):
    told = {**os.environ, "WANDB_SWEEP_ID": sweep}
    process = subprocess.run([sys.executable, "-c", AT_ONCE, str(status)], env=told, timeout=60)
    assert process.returncode == ended
