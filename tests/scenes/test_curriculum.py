"""What the base is trained on: shares of each form, and answers that come from the prior."""

import math
import re
from dataclasses import replace

import pytest

from data_modules.scenes import SceneImages, SceneTruth, scene_of
from lightning_c3l.rounds.templates import parse
from lightning_c3l.scenes import curriculum as curriculum_module
from lightning_c3l.scenes.checkpoint import build_tokenizer
from lightning_c3l.scenes.corners import HIDDEN
from lightning_c3l.scenes.curriculum import INSTRUCTIONS, Curriculum, corpus, record
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.language import KINDS, truth
from lightning_c3l.scenes.world import PRIOR, Scene, sample_scene

QUIET = Curriculum(captions=0.0, later_captions=0.0, blind=0.0, invented=0.0, follow=0.0)


def pairs(number: int, curriculum: Curriculum) -> list[tuple[str, str, bool]]:
    """Question, answer, and whether it was written as a pair, of each exchange."""
    conversation, _ = record(number, 100, curriculum, 5)
    turns, out = [turn.text for turn in conversation.turns], []
    for user, said in zip(turns[::2], turns[1::2], strict=True):
        written = user in INSTRUCTIONS.values()
        parsed = parse(said)
        out.append((parsed.question, parsed.answer, True) if written else (user, said, False))
    return out


def kind_of(question: str) -> str:
    """Told by its first words."""
    openings = {"color": r"Wh\w+ color", "place": "Where|In", "number": "How", "presence": "Are|Does"}
    (kind,) = [kind for kind, opening in openings.items() if re.match(opening, question)]
    return kind


def test_records_hold_one_exchange_of_each_kind_and_one_is_written_half_of_the_time_the_first() -> None:
    first = 0
    for number in range(200):
        found = pairs(number, QUIET)
        assert sorted(kind_of(question) for question, _, _ in found) == sorted(KINDS)
        assert sum(written for _, _, written in found) == 1
        first += found[0][2]
    assert abs(first - 100) < 4.5 * math.sqrt(200 / 4)


def test_invented_answers_are_the_priors_and_the_others_never_are() -> None:
    """On fully unusual scenes the prior is always wrong, so each answer shows where it came from."""
    usual = {habit.thing.color for habit in PRIOR.values()}
    for number in range(30):
        for question, answer, _ in pairs(number, replace(QUIET, invented=1.0)):
            shape = next(s for s in PRIOR if s in question)
            habit = PRIOR[shape]
            kind = kind_of(question)
            expected = ("yes" if habit.present else "no") if kind == "presence" else getattr(habit.thing, kind)
            assert answer == expected
            assert kind != "color" or answer in usual


def test_true_answers_are_true_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = list[Scene]()

    def watched(seed: int, follow: float) -> Scene:
        drawn.append(sample_scene(seed, follow))
        return drawn[-1]

    monkeypatch.setattr(curriculum_module, "sample_scene", watched)
    for number in range(20):
        for question, answer, _ in pairs(number, QUIET):
            assert truth(drawn[-1], question, answer) == "right"
        conversation, image = record(number, 100, QUIET, 5)
        assert image is not None
        assert draw(drawn[-1]).tobytes() == image.tobytes()
        assert conversation.image == conversation.id
    assert len({scene.seed for scene in drawn}) == 20


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)])
def test_blind_records_have_no_image(share: float, low: int, high: int) -> None:
    drawn = [record(number, 200, replace(QUIET, blind=share), 1) for number in range(200)]
    assert low <= sum(image is None for _, image in drawn) <= high  # 0.5: six standard deviations
    assert all((conversation.image is None) == (image is None) for conversation, image in drawn)


def test_captions_come_first() -> None:
    kinds = [len(record(number, 50, replace(QUIET, captions=0.2), 2)[0].turns) for number in range(50)]
    assert kinds == [2] * 10 + [8] * 40


def test_records_repeat() -> None:
    one, other = (record(7, 100, Curriculum(), 3) for _ in range(2))
    assert one[0] == other[0]
    assert record(8, 100, Curriculum(), 3)[0] != one[0]


def test_the_corpus_makes_words_single_tokens() -> None:
    tokenizer = build_tokenizer(corpus(), 512)
    for word in ("circles", "color", "purple", "yellow", "three"):
        assert len(tokenizer.tokenize(f" {word}")) == 1
    assert tokenizer.decode(tokenizer("naïve 🙂 text")["input_ids"]) == "naïve 🙂 text"


def test_hidden_attributes_are_never_shown() -> None:
    hidden, open_ = SceneImages(150, follow=0.3, hide=True), SceneImages(150, follow=0.3)

    def shown(source: SceneImages) -> int:
        return sum(
            getattr(thing, name) == getattr(HIDDEN[shape], name)
            for key in list(source.keys())
            for shape, thing in scene_of(key)[1].things.items()
            for name in ("color", "place", "number")
        )

    assert shown(hidden) == 0
    assert shown(open_) > 50
    for shape, thing in HIDDEN.items():
        usual = PRIOR[shape].thing
        assert thing.color != usual.color
        assert thing.place != usual.place
        assert thing.number != usual.number


def test_a_judged_source_knows_its_own_answers() -> None:
    images = SceneImages(5, follow=0.3, seed=9)
    judge = SceneTruth()
    asked = judge.questions(images.keys())
    assert len(asked) == 5 * len(KINDS)
    for one in asked:
        assert judge.judge(one.image, one.question, one.answer) == "right"
        assert judge.resolve(one.image, one.question) == one
    assert judge.resolve(images.keys()[0], "Why?") is None
