"""A stand-in for `fit` in trials: it leaves a summary, fails, or waits, as its options say.

`--x=2` gives the held-out criterion 2, `--x=-1` fails, `--x=0` waits for a signal unless it resumes.
"""

import json
import signal
import sys
import time
from pathlib import Path

words = dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[1:])
folder = Path(words["run.root"], "sweeps", words["run.trial"], "version_0")
folder.mkdir(parents=True, exist_ok=True)
with (folder / "starts.jsonl").open("a") as file:
    file.write(json.dumps(words) + "\n")
number = float(words["x"])
if number < 0:
    print("working\nerror: x must be at least 0\nlast words")
    sys.exit(2)
if number == 0 and "ckpt_path" not in words:
    signal.signal(signal.SIGINT, lambda *_: sys.exit(130))
    (folder / "waits").touch()
    time.sleep(60)
states = [
    {"round": 0, "held_out": 0.1, "figures": {}},
    {"round": 1, "held_out": number, "figures": {"parsed_rate": 0.5}},
]
(folder / "summary.json").write_text(json.dumps({"guard": {"states": states, "exported": 1}}))
(folder / "report.html").write_text("<p>a report")
