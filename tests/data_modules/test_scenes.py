import pytest

from data_modules.scenes import SceneImages, parse_scenes


def test_a_name_means_the_same_scenes_as_the_options():
    named = parse_scenes("scenes:count=5,follow=0.5,seed=7,hide=true")
    assert named.keys() == SceneImages(5, 0.5, 7, hide=True).keys()
    assert parse_scenes("scenes:count=3").keys() == SceneImages(3).keys()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("scenes:", "not an option"),
        ("scenes:seed=1", "count is missing"),
        ("scenes:count=many", "count=many"),
        ("scenes:count=3,hide=maybe", "hide=maybe"),
        ("scenes:count=3,colour=red", "colour=red"),
        ("scenes:count=0", "at least 1"),
        ("scenes:count=2,follow=1.5", "follow"),
    ],
)
def test_a_wrong_part_is_named(spec, said):
    with pytest.raises(ValueError, match=said):
        parse_scenes(spec)
