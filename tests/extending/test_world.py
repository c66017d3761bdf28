"""A world in a file of the user's own; `test_rounds` exports a data set about it."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from data_modules.scenes import SceneTruth, parse_scenes, scene_of

SPEC = "scenes:world=my_world.Dots,count=40,follow=0.5,seed=3"


@pytest.fixture(scope="module", autouse=True)
def _file(written: Any) -> None:
    assert written("world") == "my_world"


def test_images_are_drawn_and_judged_by_their_keys() -> None:
    source, truth = parse_scenes(SPEC), SceneTruth()
    for key in source.keys()[:10]:
        scene = scene_of(key)[1]
        image = source.read(key)
        where = {"left": 12, "right": 36}
        assert image.getpixel((where[scene.side], 24)) != (255, 255, 255)
        other = ({*where} - {scene.side}).pop()
        assert image.getpixel((where[other], 24)) == (255, 255, 255)
        assert truth.judge(key, "On which side is the dot?", f"On the {scene.side}.") == "right"
        assert truth.judge(key, "On which side is the dot?", other) == "wrong"
        assert truth.judge(key, "Where are the rings?", "left") == "unanswerable"
        assert truth.resolve(key, "What color is the dot?").answer == scene.color
        assert [one.answer for one in truth.questions([key])] == [scene.color, scene.side]


def test_the_prior_is_followed_as_often_as_asked() -> None:
    sides = {"red": "left", "green": "right", "blue": "left"}
    for follow, share in ((0.0, 0.0), (1.0, 1.0)):
        keys = parse_scenes(f"scenes:world=my_world.Dots,count=30,follow={follow}").keys()
        scenes = [scene_of(key)[1] for key in keys]
        assert sum(sides[one.color] == one.side for one in scenes) / 30 == share


def test_hidden_scenes_and_invented_sides() -> None:
    hidden = parse_scenes(f"{SPEC},hide=true")
    scenes = {key: scene_of(key)[1] for key in hidden.keys()}  # noqa: SIM118
    assert ("blue", "right") not in {(one.color, one.side) for one in scenes.values()}
    key = next(key for key, one in scenes.items() if (one.color, one.side) == ("green", "left"))
    (statement,) = SceneTruth().statements(key, "On which side is the dot?", "right")
    assert (statement.right, statement.invented) == (False, True)


def test_the_source_goes_to_the_processes_of_a_loader() -> None:
    source = parse_scenes(SPEC)
    key = source.keys()[0]
    assert pickle.loads(pickle.dumps(source)).read(key).tobytes() == source.read(key).tobytes()  # noqa: S301


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("class World:\n  prefix = 'w'\n  def sample(self, seed, follow): ...", "has no draw, shows_hidden, judge"),
        ("from my_world import Dots\nclass World(Dots): prefix = 'scene'", "its prefix 'scene' is that of Corners"),
        ("class World:\n  def __init__(self, path): ...", "missing a required argument"),
    ],
)
def test_what_is_no_world(code: str, said: str, working_folder: Path, request: pytest.FixtureRequest) -> None:
    name = f"world_{request.node.callspec.indices['code']}"
    (working_folder / f"{name}.py").write_text(code + "\n")
    with pytest.raises(ValueError, match=said):
        parse_scenes(f"scenes:count=2,world={name}.World")
    with pytest.raises(ValueError, match=r"world must be one of corners, park, or module\.attribute"):
        parse_scenes("scenes:count=2,world=nowhere")
