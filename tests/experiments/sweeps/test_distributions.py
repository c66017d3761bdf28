"""Values are drawn as W&B's documentation says: bounds, steps, medians and shares in closed form."""

import math
from random import Random
from statistics import median
from typing import Any

import pytest

from experiments.sweeps.distributions import DISTRIBUTIONS, Parameter, read_parameters

DRAWS = 2000


def parameter(**given: Any) -> Parameter:
    (found,) = read_parameters({"x": given})
    return found


def drawn(**given: Any) -> list[Any]:
    one, random = parameter(**given), Random(1)
    return [one.sample(random) for _ in range(DRAWS)]


@pytest.mark.parametrize(
    ("given", "distribution"),
    [
        ({"value": None}, "constant"),
        ({"values": [1, 2]}, "categorical"),
        ({"values": [1, 2], "probabilities": [0.25, 0.75]}, "categorical_w_probabilities"),
        ({"min": 1, "max": 3}, "int_uniform"),
        ({"min": 1, "max": 3.0}, "uniform"),
        ({"min": 0.1, "max": 3.0}, "uniform"),
        ({"distribution": "uniform", "min": 1, "max": 3}, "uniform"),
    ],
)
def test_a_parameter_without_distribution_is_what_its_settings_say(given, distribution):
    assert parameter(**given).distribution == distribution


@pytest.mark.parametrize(
    ("given", "low", "middle", "high"),
    [
        ({"distribution": "uniform", "min": -1.0, "max": 3.0}, -1.0, 1.0, 3.0),
        # the median of a log-uniform value is the geometric mean of its bounds
        ({"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2}, 1e-4, 1e-3, 1e-2),
        ({"distribution": "inv_log_uniform_values", "min": 1e-4, "max": 1e-2}, 1e-4, 1e-3, 1e-2),
        ({"distribution": "log_uniform", "min": 0.0, "max": 2.0}, 1.0, math.e, math.e**2),
        ({"distribution": "inv_log_uniform", "min": 0.0, "max": 2.0}, math.e**-2, 1 / math.e, 1.0),
        ({"distribution": "beta", "a": 2, "b": 2}, 0.0, 0.5, 1.0),
    ],
)
def test_bounds_and_medians(given, low, middle, high):
    values = drawn(**given)
    assert low <= min(values) < max(values) <= high
    # over nine standard errors of the median for all of them
    assert median(values) == pytest.approx(middle, rel=0.15, abs=0.1 * (high - low))
    assert (min(values) - low) < 0.05 * (high - low)


@pytest.mark.parametrize(("name", "middle"), [("normal", 3.0), ("log_normal", math.e**3)])
def test_normal_values(name, middle):
    values = drawn(distribution=name, mu=3.0, sigma=0.5)
    assert median(values) == pytest.approx(middle, rel=0.05)
    logs = values if name == "normal" else [math.log(value) for value in values]
    # 68.3 % within one standard deviation
    assert sum(abs(value - 3.0) < 0.5 for value in logs) / DRAWS == pytest.approx(0.683, abs=0.04)


def test_whole_numbers_with_both_ends():
    values = drawn(min=2, max=5)
    assert set(values) == {2, 3, 4, 5}
    assert all(isinstance(value, int) for value in values)
    assert values.count(5) / DRAWS == pytest.approx(0.25, abs=0.04)


def test_shares():
    values = drawn(values=["a", None, True], probabilities=[0.1, 0.6, 0.3])
    assert set(values) == {"a", None, True}
    assert values.count(None) / DRAWS == pytest.approx(0.6, abs=0.04)
    evenly = drawn(values=[1, 2, 4, 8])
    assert evenly.count(8) / DRAWS == pytest.approx(0.25, abs=0.04)


@pytest.mark.parametrize(
    ("given", "values", "kind"),
    [
        # ends get half a step: 0 to 1, 1 to 3, 3 to 5 and 5 to 6
        ({"distribution": "q_uniform", "min": 0, "max": 6, "q": 2}, {0, 2, 4, 6}, int),
        ({"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.25}, {0.0, 0.25, 0.5, 0.75, 1.0}, float),
        ({"distribution": "q_uniform", "min": 0, "max": 3}, {0.0, 1.0, 2.0, 3.0}, float),
        ({"distribution": "q_log_uniform_values", "min": 8, "max": 33, "q": 8}, {8, 16, 24, 32}, int),
        ({"distribution": "q_log_uniform", "min": 0.0, "max": math.log(3), "q": 1}, {1, 2, 3}, int),
        ({"distribution": "q_beta", "a": 1, "b": 1, "q": 0.5}, {0.0, 0.5, 1.0}, float),
        ({"distribution": "q_normal", "mu": 0, "sigma": 0.1, "q": 1}, {0}, int),
        ({"distribution": "q_log_normal", "mu": 0, "sigma": 0.1, "q": 1}, {1}, int),
    ],
)
def test_multiples_of_q(given, values, kind):
    found = drawn(**given)
    assert set(found) == values
    assert {type(value) for value in found} == {kind}


def test_a_seed_draws_the_same_again():
    one = parameter(min=0.0, max=1.0)
    assert one.sample(Random(4)) == one.sample(Random(4)) != one.sample(Random(5))


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ({"value": 3}, [3]),
        ({"values": ["b", None, "a"]}, ["b", None, "a"]),
        ({"min": 2, "max": 4}, [2, 3, 4]),
        # as `numpy.arange`, which W&B takes
        ({"distribution": "q_uniform", "min": 0.0, "max": 1.0, "q": 0.25}, [0.0, 0.25, 0.5, 0.75]),
    ],
)
def test_the_values_of_a_grid(given, values):
    assert parameter(**given).grid() == values


@pytest.mark.parametrize(
    "given",
    [{"min": 0.0, "max": 1.0}, {"values": [1, 2], "probabilities": [0.5, 0.5]}, {"distribution": "normal"}],
)
def test_what_a_grid_cannot_walk(given):
    with pytest.raises(ValueError, match=r"parameters\.x: a grid cannot walk the distribution"):
        parameter(**given).grid()


def test_nested_parameters_in_the_order_of_their_names():
    found = read_parameters({"b": {"parameters": {"d": {"value": 1}, "c": {"values": [2]}}}, "a.z": {"value": 3}})
    assert [one.path for one in found] == [("a.z",), ("b", "c"), ("b", "d")]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"distribution": "poisson", "min": 1}, "parameters.x: unknown distribution 'poisson'; there are constant, "),
        ({"min": 1}, "parameters.x: needs value, values, or min and max"),
        ({"distribution": "uniform", "min": 1.0}, "parameters.x: the distribution uniform needs max"),
        ({"values": [1], "q": 2}, "parameters.x: q is no setting of the distribution categorical"),
        ({"values": []}, "parameters.x.values: must be a list of at least one value"),
        ({"values": "abc"}, "parameters.x.values: must be a list of at least one value"),
        ({"values": [1, 2], "probabilities": [0.5]}, "parameters.x.probabilities: must be a number from 0 to 1"),
        ({"values": [1, 2], "probabilities": [0.5, 0.6]}, "parameters.x.probabilities: must be 1 in all, not 1.1"),
        ({"min": 2.0, "max": 1.0}, "parameters.x: min is 2.0, above max, which is 1.0"),
        ({"min": "1e-4", "max": 1.0}, "parameters.x.min: must be a number, not '1e-4'; YAML reads 1e-4 as text"),
        ({"distribution": "int_uniform", "min": 1, "max": 2.5}, "parameters.x.max: must be an integer, not 2.5"),
        ({"distribution": "log_uniform_values", "min": 0, "max": 1}, "parameters.x.min: must be above 0"),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0}, "parameters.x.q: must be above 0, not 0"),
        ({"distribution": "normal", "sigma": -1}, "parameters.x.sigma: must be at least 0, not -1"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError) as refused:
        parameter(**given)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("found", [None, [], {}, {"x": 3}])
def test_parameters_that_are_none(found):
    with pytest.raises(ValueError, match=r"parameters.*must be a mapping"):
        list(read_parameters(found))


def test_all_of_w_and_bs_distributions_are_known():
    """Names of its documentation, and of the schema that it checks sweep files with."""
    logarithmic = {"log_uniform", "log_uniform_values", "inv_log_uniform", "inv_log_uniform_values", "log_normal"}
    plain = {"constant", "categorical", "categorical_w_probabilities", "int_uniform", "uniform", "normal", "beta"}
    quantised = {"q_uniform", "q_log_uniform", "q_log_uniform_values", "q_normal", "q_log_normal", "q_beta"}
    assert set(DISTRIBUTIONS) == logarithmic | plain | quantised
