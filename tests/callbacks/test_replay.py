import pytest

from callbacks.replay import ReplayRounds
from lightning_c3l.records import Candidate, Group, Instruction, ScoredCandidate
from lightning_c3l.rounds.store import Round, RunStore


class Run:
    current_epoch = 0

    def __init__(self) -> None:
        self.datamodule, self.handed = self, []

    def digests(self, name: str) -> dict[str, str]:
        return {}

    def set_round(self, number, groups, descriptions) -> None:
        self.handed.append((number, descriptions))


@pytest.fixture
def folder(tmp_path):
    for number in range(2):
        RunStore(tmp_path).write_round(number, Round([], [], {"image": f"of round {number}"}, {"round": number}))
    return tmp_path


def epochs(replay: ReplayRounds, run: Run, numbers) -> None:
    replay.on_fit_start(run, None)
    for run.current_epoch in numbers:
        replay.on_train_epoch_end(run, None)


def test_rounds_are_handed_over_as_they_were_made(folder):
    run = Run()
    # a run that was stopped has fewer rounds than its epochs ask for
    epochs(ReplayRounds(folder, epochs_per_round=2), run, range(6))
    assert run.handed == [(0, {"image": "of round 0"}), (1, {"image": "of round 1"})]


def test_groups_of_all_rounds_accumulate(tmp_path):
    for number in range(2):
        one = ScoredCandidate(Candidate(f"i{number}", Instruction("kind", "W"), 0, "t"))
        descriptions = {"image": f"of round {number}", f"i{number}": "seen"}
        RunStore(tmp_path).write_round(number, Round([one], [Group(one, ())], descriptions, {"round": number}))
    run, images = Run(), []
    run.set_round = lambda number, groups, descriptions: images.append(([one.image for one in groups], descriptions))
    run.digests = lambda name: {"i0": "", "i1": ""}
    epochs(ReplayRounds(tmp_path, accumulate=True), run, [0])
    assert [own for own, _ in images] == [["i0"], ["i1", "i0"]]
    assert images[1][1] == {"image": "of round 1", "i0": "seen", "i1": "seen"}


def test_a_resumed_run_goes_on_with_its_round(folder):
    first, run, again = ReplayRounds(folder), Run(), ReplayRounds(folder)
    epochs(first, Run(), [0])
    again.load_state_dict(first.state_dict())
    epochs(again, run, [1])
    assert [number for number, _ in run.handed] == [1]
