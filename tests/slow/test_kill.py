"""SIGKILL at random moments, and on it goes: the full suite is `make test-kill`, a short version `make test-slow`."""

from collections.abc import Iterator
from random import Random

import pytest

from tests.helpers.killing import Experiment, Moment, complete_records, nothing_left, same_losses, same_records, seeded

# how often a run is killed in each stage
PLAN = {"round 0": 2, "train 0": 1, "round 1": 1, "train 1": 2, "round 2": 1, "train 2": 1, "data set": 2, "end": 1}
# who is killed where there are several processes, in turns
VICTIMS = ("launcher", "worker", "all")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Runs that nobody killed, by number of processes and rounds, each made once."""
    made = dict[tuple[int, int], Experiment]()

    def make(processes: int, rounds: int) -> Experiment:
        if (processes, rounds) not in made:
            experiment = Experiment(tmp_path_factory.mktemp("whole"), rounds)
            experiment.finish(processes)
            made[processes, rounds] = experiment
        return made[processes, rounds]

    return make


def moments(plan: dict[str, int], chance: Random, processes: int) -> Iterator[Moment]:
    """Kills in the order of the stages, in each of them at random places, and two while the program starts."""
    for stage, count in plan.items():
        for share in sorted(chance.uniform(0, 0.8) for _ in range(count)):
            yield Moment(stage, 0.0 if stage == "end" else share, _victim(chance, processes), processes)
        if stage in ("train 0", "train 1"):
            yield Moment("start", chance.uniform(0, 10), _victim(chance, processes), processes)


def _victim(chance: Random, processes: int) -> str:
    return "all" if processes == 1 else chance.choice(VICTIMS)


@pytest.mark.kill
@pytest.mark.parametrize("processes", [1, 2])
def test_nothing_is_lost_and_nothing_made_twice(tmp_path, whole, processes):
    found, expected = Experiment(tmp_path), whole(processes, 3)
    with seeded() as chance:
        kills = found.kill_at(moments(PLAN, chance, processes))
    assert kills.keys() == {*PLAN, "start"}, kills
    assert sum(kills.values()) == sum(PLAN.values()) + 2
    found.finish(processes)
    same_records(found, expected)
    same_losses(found, expected)
    nothing_left(found)


@pytest.mark.kill
def test_another_number_of_processes_goes_on(tmp_path):
    found = Experiment(tmp_path)
    with seeded() as chance:
        numbers = [1, 2, 1, 2, 1, 2, 1]
        stages = ["round 0", "round 0", "train 0", "round 1", "train 1", "train 2", "data set"]
        shares = [0.2, 0.6, *(chance.uniform(0.1, 0.8) for _ in stages[2:])]
        kills = found.kill_at(
            Moment(stage, share, _victim(chance, number), number)
            for stage, share, number in zip(stages, shares, numbers, strict=True)
        )
    assert sum(kills.values()) == len(stages), kills
    found.finish(2)
    complete_records(found)
    nothing_left(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("processes", "kills"),
    [
        (1, [Moment("round 1", 0.4), Moment("train 1", 0.5)]),
        (2, [Moment("train 0", 0.3, "worker", 2), Moment("data set", 0.5, "launcher", 2)]),
    ],
    ids=["1 process", "2 processes"],
)
def test_a_few_kills(tmp_path, whole, processes, kills):
    found, expected = Experiment(tmp_path, rounds=2), whole(processes, 2)
    assert sum(found.kill_at(kills).values()) == len(kills)
    found.finish(processes)
    same_records(found, expected)
    same_losses(found, expected)
    nothing_left(found)
