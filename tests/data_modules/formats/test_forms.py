"""The patch between two JSON values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_modules.formats.forms import form_of, restored, same
from tests.data_modules.formats.made_records import JSON, strict

OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@given(OBJECTS, OBJECTS)
def test_the_patch_leads_from_one_to_the_other(default: dict[str, Any], original: dict[str, Any]) -> None:
    form = form_of(default, original)
    if strict(default) == strict(original):
        assert form is None
    else:
        assert form is not None
        assert strict(restored(default, form)) == strict(original)


@given(JSON, JSON)
def test_values_are_the_same_with_their_types(left: Any, right: Any) -> None:
    # -0.0 and 0.0 are one number to Python and two texts
    assert same(left, right) == (strict(left).replace("-0.0", "0.0") == strict(right).replace("-0.0", "0.0"))
    assert same(left, left)


@pytest.mark.parametrize(("left", "right"), [(1, 1.0), (1, True), (0, False), ([1], [True]), ({"a": 0}, {"a": False})])
def test_equal_to_python_is_not_enough(left: Any, right: Any) -> None:
    assert left == right
    assert not same(left, right)


def test_a_patch_is_small() -> None:
    default = {
        "image": "a.jpg",
        "conversations": [{"from": "human", "value": "x" * 1000}, {"from": "gpt", "value": "y"}],
    }
    original = {
        "image": ["a.jpg"],
        "conversations": [{"from": "user", "value": "x" * 1000}, default["conversations"][1]],
    }
    form = form_of(default, original)
    assert form is not None
    assert form["patch"] == {
        "in": {"image": {"to": ["a.jpg"]}, "conversations": {"at": {"0": {"in": {"from": {"to": "user"}}}}}}
    }
    longer = form_of({"turns": [1, 2, 3]}, {"turns": [1, 7, 8, 2, 3]})
    assert longer is not None
    assert longer["patch"] == {"in": {"turns": {"cut": [1, 1], "put": [7, 8]}}}
