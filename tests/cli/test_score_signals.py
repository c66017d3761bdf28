"""`score` can be told to stop."""

import signal
from types import SimpleNamespace

from lightning_c3l.cli.score_run import _Interruption


def test_sigterm_ends_the_process():
    """In a run of `predict`, Lightning's handler notes the signal and nothing looks at the note."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        _Interruption().on_predict_start(SimpleNamespace(), SimpleNamespace())
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
