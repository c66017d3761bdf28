"""Scenes of the park and their images."""

import numpy as np
import pytest

from data_modules.scenes import SceneImages, SceneTruth, parse_scenes, scene_of
from lightning_c3l.scenes.park.curriculum import ParkCurriculum, record
from lightning_c3l.scenes.park.drawing import SIZE, draw
from lightning_c3l.scenes.park.language import KINDS
from lightning_c3l.scenes.park.park import HIDDEN
from lightning_c3l.scenes.park.world import GROUPS, PLACES, PRIOR, USUAL, VALUES, Scene, Thing, sample_scene


def test_scenes_follow_the_prior_as_often_as_they_should() -> None:
    for follow in (0.0, 0.3, 1.0):
        usual = [
            getattr(thing, attribute) == getattr(USUAL[name], attribute)
            for seed in range(400)
            for name, thing in sample_scene(seed, follow).things.items()
            for attribute in ("number", "size", "color")
        ]
        # at least 3,600 draws: three standard deviations are 0.023
        assert abs(np.mean(usual) - follow) < 0.023


def test_companions_follow_the_prior_too() -> None:
    for follow, together in ((0.0, 0.0), (1.0, 1.0)):
        for seed in range(200):
            things = sample_scene(seed, follow).things
            assert len(things) in GROUPS
            assert len({thing.place for thing in things.values()}) == len(things)
            for leader in things:
                companion = PRIOR[leader].companion
                if companion is not None:
                    assert (companion in things) == together


def test_an_image_shows_what_the_scene_says() -> None:
    things = {"ball": Thing("three", "large", "red", "at the top right")}
    pixels = np.asarray(draw(Scene(things, 5)), dtype=int)
    assert pixels.shape == (SIZE, SIZE, 3)
    red = (pixels[..., 0] - pixels[..., 1]) > 80
    assert red[:24, 48:].sum() == red.sum()
    # three discs of 10 to 12 pixels
    assert 3 * np.pi * 4.5**2 < red.sum() < 3 * np.pi * 6.2**2
    small = np.asarray(draw(Scene({"ball": Thing("three", "small", "red", "at the top right")}, 5)), dtype=int)
    assert ((small[..., 0] - small[..., 1]) > 80).sum() < red.sum() / 2


@pytest.mark.parametrize("place", PLACES)
def test_places_are_apart_in_the_image(place: str) -> None:
    images = [np.asarray(draw(Scene({"star": Thing("four", "large", "black", one)}, 1)), int) for one in PLACES]
    row, column = divmod(PLACES.index(place), 3)
    dark = images[PLACES.index(place)].sum(axis=2) < 200
    assert dark[24 * row : 24 * row + 24, 24 * column : 24 * column + 24].sum() == dark.sum() > 0


def test_sources_of_the_park() -> None:
    source = parse_scenes("scenes:world=park,count=20,follow=0.1,seed=3,hide=true")
    keys = list(source.keys())
    assert all(key.startswith("park_") for key in keys)
    for key in keys:
        for name, thing in scene_of(key)[1].things.items():
            assert all(getattr(thing, attribute) != value for attribute, value in HIDDEN[name].items())
    assert source.read(keys[0]).size == (SIZE, SIZE)
    with pytest.raises(
        ValueError, match=r"world must be one of corners, park, or module\.attribute of your own world, not 'moon'"
    ):
        SceneImages(3, world="moon")


def test_hidden_attributes_are_not_usual() -> None:
    for name, hidden in HIDDEN.items():
        for attribute, value in hidden.items():
            assert value in VALUES[attribute]
            assert value != getattr(USUAL[name], attribute)


def test_the_truth_knows_its_own_questions() -> None:
    truth, keys = SceneTruth(), list(SceneImages(30, follow=0.1, seed=4, world="park").keys())
    asked = truth.questions(keys)
    assert [one.kind for one in asked[: len(KINDS)]] == list(KINDS)
    for one in asked:
        assert truth.judge(one.image, one.question, one.answer) == "right"
        assert truth.resolve(one.image, one.question) == one
        assert all(statement.right for statement in truth.statements(one.image, one.question, one.answer))
    # an answer that has to name a hidden attribute is one of what training images do not show
    for one in asked:
        if one.kind == "color":
            things = scene_of(one.image)[1].things
            name = next(name for name in things if f" {name}s" in one.question)
            assert one.seen == (things[name].color != HIDDEN[name]["color"])
    assert {one.seen for one in asked} == {True, False}


def test_records_begin_with_captions_and_repeat() -> None:
    curriculum = ParkCurriculum(captions=0.5, truthful=0.1)
    one, image = record(3, 100, curriculum, 7)
    assert one.turns[0].text == "List everything."
    assert image is not None
    again, same = record(3, 100, curriculum, 7)
    assert again == one
    assert same is not None
    assert np.array_equal(np.asarray(image), np.asarray(same))
    later = [record(number, 100, curriculum, 7) for number in range(60, 100)]
    assert any(picture is None for _, picture in later)
    assert sum("Question:" in turn.text for conversation, _ in later for turn in conversation.turns) > 20
