"""One trial of a sweep: its folder, its process, and what is left of it."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lightning_c3l.report.final import final_figures
from lightning_c3l.report.text import printable
from lightning_c3l.runs.atomic import write_json_atomic

Status = Literal["waiting", "running", "finished", "interrupted", "failed"]
# statuses of a run that was told to end by a signal
_STOPPED = (128 + signal.SIGINT, 128 + signal.SIGTERM)
_LOG, _STATE = "log.txt", "trial.json"
# characters of a reason
_REASON = 300


def value_text(value: object) -> str:
    """A value of a parameter for reading."""
    return printable(f"{value:.4g}" if isinstance(value, float) else value, 60)


@dataclass
class Trial:
    """A trial, and how far it is.

    Attributes:
        folder: of the trial; its run folders, `version_<n>`, lie in it.
        values: by the name of the flag, as an agent gets them.
        status: how it ended last, unless it is waiting or running.
        exit: status of its process; negative for a signal.
        reason: why it failed, in one line.
        seconds: of all of its starts.
        figures: of the end of its run.
    """

    folder: Path
    values: dict[str, Any]
    status: Status = "waiting"
    exit: int | None = None
    reason: str = ""
    seconds: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of its folder."""
        return self.folder.name

    @property
    def outcome(self) -> str:
        """How it ended, and why it failed, in one line."""
        return f"{self.status} with status {self.exit}" + (f": {self.reason}" if self.reason else "")

    @property
    def run_folder(self) -> Path | None:
        """Folder of its newest run; None before the first one."""
        found = (re.fullmatch(r"version_(\d+)", path.name) for path in self.folder.glob("version_*"))
        number = max((int(one[1]) for one in found if one), default=None)
        return None if number is None else self.folder / f"version_{number}"

    @property
    def report(self) -> Path | None:
        """Page of its run, if it has got so far."""
        page = self.run_folder / "report.html" if self.run_folder else None
        return page if page is not None and page.is_file() else None

    def read(self) -> None:
        """Take over what an earlier walk left; what was running then was interrupted with it."""
        try:
            known = json.loads((self.folder / _STATE).read_text(encoding="utf-8"))
            self.status, self.exit, self.reason = known["status"], known["exit"], str(known["reason"])
            self.seconds = float(known["seconds"])
        except (OSError, ValueError, LookupError, TypeError):
            self.status = "interrupted" if self.run_folder else "waiting"
        if self.status == "finished":
            self.figures = self._figures()

    def end(self, exit_status: int, seconds: float, log_start: int = 0) -> None:
        """Note how its process ended, whose first byte in the log is `log_start`."""
        self.exit = exit_status
        self.seconds = round(self.seconds + seconds, 1)
        self.reason = ""
        if exit_status == 0:
            self.status, self.figures = "finished", self._figures()
        elif exit_status in _STOPPED or -exit_status in (signal.SIGINT, signal.SIGTERM):
            self.status = "interrupted"
        else:
            self.status, self.reason = "failed", self._reason(log_start)
        kept = {name: getattr(self, name) for name in ("values", "status", "exit", "reason", "seconds")}
        write_json_atomic(self.folder / _STATE, kept)

    def _figures(self) -> dict[str, float]:
        summary = self.run_folder / "summary.json" if self.run_folder else None
        if summary is None or not summary.is_file():
            return {}
        return final_figures(json.loads(summary.read_text(encoding="utf-8")))

    def _reason(self, log_start: int) -> str:
        """The line of its log that says what was wrong, or the last one; what earlier starts printed says nothing."""
        if self.exit is not None and self.exit < 0:
            return f"ended by {signal.Signals(-self.exit).name}"
        text = (self.folder / _LOG).read_bytes()[log_start:].decode("utf-8", errors="replace")
        lines = [line for line in map(str.strip, re.split(r"[\r\n]+", text)) if line]
        errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
        return printable((errors or lines or ["it printed nothing"])[-1], _REASON)


class TrialProcess:
    """The process of a trial.

    Args:
        trial: to start; what it prints goes to `log.txt` in its folder, after what it printed before.
        command: words.
        environment: variables that differ from those of this process.
    """

    def __init__(self, trial: Trial, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.trial = trial
        trial.folder.mkdir(parents=True, exist_ok=True)
        trial.status = "running"
        self._began = time.monotonic()
        with (trial.folder / _LOG).open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # so that Ctrl-C reaches it once, from here
                process_group=0,
            )

    def has_ended(self) -> bool:
        """Whether it has; then the trial says how."""
        if (status := self._process.poll()) is None:
            return False
        self.trial.end(status, time.monotonic() - self._began, self._log_start)
        return True

    def stop(self) -> None:
        """Tell it to end; it keeps what it has made."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def wait(self) -> None:
        """Wait for its end, and note it."""
        self._process.wait()
        self.has_ended()
