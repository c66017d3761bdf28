"""CPU seconds of all processes of a session, from /proc."""

import os
from contextlib import suppress
from pathlib import Path


def session_cpu_seconds(session: int, processes: Path = Path("/proc")) -> float:
    """CPU seconds that the processes of a session have used so far, those of ended children included.

    A server that is started in a session of its own stays one session, whatever its workers are: a worker whose
    parent has died still belongs to it.

    Args:
        session: id of the session.
        processes: folder in which Linux shows its processes.
    """
    ticks = 0
    for file in processes.glob("[0-9]*/stat"):
        # a process may end meanwhile
        with suppress(OSError):
            # behind the name, which may hold blanks and brackets: state, parent, group, session
            fields = file.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")
