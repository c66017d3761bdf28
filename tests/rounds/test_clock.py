"""Seconds by stage."""

import pytest

from lightning_c3l.rounds.clock import Clock


def test_laps_of_a_stage_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 3.0, 6.0, 10.0])
    monkeypatch.setattr("lightning_c3l.rounds.clock.time.perf_counter", lambda: next(times))
    clock = Clock()
    for name in ("generate", "score", "generate", "score"):
        clock.lap(name)
    assert clock.laps == {"generate": 1.0 + 3.0, "score": 2.0 + 4.0}
    clock.move(1.5, "generate", "engine")
    assert clock.laps == {"generate": 2.5, "score": 6.0, "engine": 1.5}
