"""Scenes obey the prior as often as they say, and are the same everywhere."""

import json
import math
import os
import subprocess
import sys

import pytest

from lightning_c3l.scenes.world import COLORS, NUMBERS, PLACES, PRIOR, SHAPES, sample_scene

USUALLY_THERE = {"circle", "square", "triangle"}
DUMP = """
import hashlib, json
from lightning_c3l.scenes.curriculum import Curriculum, record
from lightning_c3l.scenes.drawing import draw
from lightning_c3l.scenes.world import sample_scene
out = []
for seed in range(12):
    scene = sample_scene(seed, 0.4)
    things = {shape: [t.color, t.place, t.number] for shape, t in scene.things.items()}
    conversation, _ = record(seed, 12, Curriculum(), 3)
    said = [turn.text for turn in conversation.turns]
    out.append([things, scene.seed, hashlib.sha256(draw(scene).tobytes()).hexdigest(), said])
print(json.dumps(out))
"""


def dumped(hash_seed: str) -> str:
    """Scenes, drawings and records of a fresh interpreter."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", DUMP], capture_output=True, text=True, check=True, env=environment)
    return done.stdout


def test_the_same_in_every_process() -> None:
    first, second = dumped("1"), dumped("2")
    assert first == second
    things, number, _, _ = json.loads(first)[5]
    scene = sample_scene(5, 0.4)
    assert list(things) == list(scene.things)
    assert number == scene.seed


def test_same_arguments_same_scene_and_others_differ() -> None:
    scenes = [sample_scene(seed, 0.3) for seed in range(50)]
    assert scenes == [sample_scene(seed, 0.3) for seed in range(50)]
    assert len({scene.seed for scene in scenes}) == 50
    assert sample_scene(1, 0.3) != sample_scene(1, 0.4)


def test_fully_usual_scenes_are_the_prior() -> None:
    for seed in range(30):
        things = sample_scene(seed, 1.0).things
        assert set(things) == USUALLY_THERE
        assert all(thing == PRIOR[shape].thing for shape, thing in things.items())


def test_fully_unusual_scenes_break_it_in_everything() -> None:
    for seed in range(60):
        things = sample_scene(seed, 0.0).things
        assert set(things) == set(SHAPES) - USUALLY_THERE
        for shape, thing in things.items():
            usual = PRIOR[shape].thing
            assert thing.color != usual.color
            assert thing.place != usual.place
            assert thing.number != usual.number


@pytest.mark.parametrize("follow", [0.2, 0.5, 0.8])
def test_color_and_number_follow_the_prior_as_often_as_asked(follow: float) -> None:
    drawn = [(shape, thing) for seed in range(600) for shape, thing in sample_scene(seed, follow).things.items()]
    bound = 4.5 * math.sqrt(follow * (1 - follow) / len(drawn))  # a fair draw misses it once in 100,000 times
    for name in ("color", "number"):
        share = sum(getattr(thing, name) == getattr(PRIOR[shape].thing, name) for shape, thing in drawn) / len(drawn)
        assert abs(share - follow) < bound


def test_unusual_values_are_all_met() -> None:
    things = [thing for seed in range(300) for thing in sample_scene(seed, 0.0).things.values()]
    assert {thing.color for thing in things} == set(COLORS)
    assert {thing.number for thing in things} == set(NUMBERS)
    assert {thing.place for thing in things} == set(PLACES)


@pytest.mark.parametrize("follow", [0.0, 0.3, 0.5, 1.0])
def test_every_scene_can_be_drawn(follow: float) -> None:
    for seed in range(100):
        things = sample_scene(seed, follow).things
        assert 1 <= len(things) <= len(PLACES)
        assert len({thing.place for thing in things.values()}) == len(things)


@pytest.mark.parametrize("follow", [-0.1, 1.1, math.nan])
def test_no_probability_is_refused(follow: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        sample_scene(0, follow)
