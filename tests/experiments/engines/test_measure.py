"""CPU seconds of a session, and rates of several engines in turn."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from experiments.engines.cpu_time import session_cpu_seconds
from experiments.engines.measure import Engine, compare
from experiments.engines.workload import draw_requests
from experiments.speed.shapes import SHAPES
from lightning_c3l.lvlm.base import GenerationRequest


def test_cpu_seconds_are_those_of_all_processes_of_a_session(tmp_path: Path) -> None:
    # user, system, and both of ended children, in ticks; a name may hold blanks and brackets
    for number, name, session, times in (
        (7, "python", 7, (100, 20, 3, 1)),
        (9, "VLLM::Worker (0) :", 7, (200, 0, 0, 0)),
        (10, "other", 10, (5000, 0, 0, 0)),
    ):
        (tmp_path / str(number)).mkdir()
        before = f"S 1 {number} {session} 0 -1 4194304 1 2 3 4"
        text = f"{number} ({name}) {before} {' '.join(map(str, times))} 20 0\n"
        (tmp_path / str(number) / "stat").write_text(text)
    (tmp_path / "11").mkdir()  # has just ended
    assert session_cpu_seconds(7, tmp_path) == pytest.approx(324 / os.sysconf("SC_CLK_TCK"))


def test_this_process_uses_cpu_seconds_in_its_session() -> None:
    before = session_cpu_seconds(os.getsid(0))
    sum(number * number for number in range(3_000_000))
    assert session_cpu_seconds(os.getsid(0)) > before


def test_engines_take_turns_on_prompts_of_their_own() -> None:
    calls, used = list[tuple[str, list[int]]](), {"a": 0.0, "b": 0.0}

    def engine(name: str, seconds: float) -> Engine:
        def generate(requests: Sequence[GenerationRequest]) -> list[list[str]]:
            calls.append((name, [one.seed for one in requests]))
            used[name] += seconds
            return [["x", "y"] for _ in requests]

        return Engine(generate, lambda: used[name])

    def draw(number: int) -> list[GenerationRequest]:
        return [GenerationRequest("", seed=10 * number + index) for index in range(3)]

    done = list[None]()
    found = compare({"a": engine("a", 2.0), "b": engine("b", 0.5)}, draw, 1, 2, lambda: done.append(None))
    assert calls == [
        ("a", [0]),
        ("b", [10]),
        ("a", [20, 21, 22]),
        ("b", [30, 31, 32]),
        ("a", [40, 41, 42]),
        ("b", [50, 51, 52]),
    ]
    # six texts in 2 and in 0.5 CPU seconds
    assert found["a"]["texts_per_cpu_second"] == {"median": 3.0, "min": 3.0, "max": 3.0}
    assert found["b"]["texts_per_cpu_second"]["median"] == 12.0
    assert found["a"]["texts_per_second"]["min"] > 0
    assert len(done) == len(calls)


def test_prompts_of_another_pass_share_nothing() -> None:
    one, other = (draw_requests(SHAPES["tiny"], 3, number) for number in (0, 1))
    assert [request.seed for request in one] == [0, 1, 2]
    pixels = {request.image.tobytes() for request in (*one, *other) if request.image is not None}
    assert len(pixels) == len({request.prompt for request in (*one, *other)}) == 6
    assert draw_requests(SHAPES["tiny"], 3, 1)[2].prompt == other[2].prompt
