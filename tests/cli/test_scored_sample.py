"""What is kept of a scored set for its page: undecided answers, and why others were rejected."""

from data_modules.formats import ImageRef, Message, Record
from lightning_c3l.cli.scored_sample import AnswerSample, RejectedAnswer, RejectedSample


def test_undecided_answers_score_as_with_another_image() -> None:
    sample = AnswerSample(size=2)
    scores = [(0.9, 0.1), (0.8, 0.2), (0.5, 0.49), (0.4, 0.1), (0.3, 0.32), (0.1, 0.4), (0.0, 0.9)]
    for number, (score, other) in enumerate(scores):
        record = Record((ImageRef("a.png"),), (Message("user", "Why?"), Message("assistant", f"{number}")))
        sample.add(number, number, record, {"turn": 1, "answer": score, "shuffled": other})
    shown = [(shown_as, one.record) for shown_as, one in sample.answers() if shown_as != "random"]
    assert shown == [("highest", 0), ("highest", 1), ("lowest", 6), ("lowest", 5), ("nearest", 2), ("nearest", 4)]


def test_reasons_are_counted_in_constant_memory() -> None:
    sample = RejectedSample(size=3)
    for number in range(1000):
        sample.add(RejectedAnswer(number, "no image" if number % 2 else f"reason {number}"))
    assert sample.reasons == {"reason 0": 1, "no image": 500, "reason 2": 1, RejectedSample.OTHER: 498}
    assert [one.record for one in sample.first] == [0, 1, 2]


def test_one_reason_leaves_room_for_others() -> None:
    sample = RejectedSample()
    for number in range(100):
        sample.add(RejectedAnswer(number, "no image"))
    sample.add(RejectedAnswer(100, "too long"))
    assert [one.record for one in sample.first] == [0, 1, 2, 3, 100]
