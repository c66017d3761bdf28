"""Rules in their order, and what is said about those that fell."""

import pytest

from lightning_c3l.selection.plan import Choice, Plan, Step, choose
from tests.selection.sets import columns_of

TEXTS = [["a b c"], ["a b c"], ["d e f"], ["g h i"], ["j k l"], ["m n o"]]


def places(choice: Choice) -> list[int]:
    return [place + 1 for place, chosen in enumerate(choice.chosen) if chosen]


def test_no_rule_keeps_all_that_is_scored() -> None:
    choice = choose(columns_of([1.0, None, -2.0, None]), Plan())
    assert places(choice) == [1, 3]
    assert choice.steps == (Step("scored", 2, {"not scored": 2}),)
    assert [choice.why(place) for place in range(4)] == ["", "not scored", "", "not scored"]


def test_rules_go_in_their_order() -> None:
    # 1 falls to 2; 6 is below 0; image 1 leaves 2 and 3; of 2, 3 and 5 the best two
    columns = columns_of([1.0, 4.0, 3.0, 2.0, 1.5, -1.0], images=[1, 1, 1, 1, 2, 2], texts=TEXTS)
    choice = choose(columns, Plan(near_duplicates=0.8, min_score=0.0, per_image=2, top_k=2))
    assert choice.steps == (
        Step("scored", 6, {}),
        Step("--exact-duplicates", 5, {"exact duplicate": 1}),
        Step("--near-duplicates 0.8", 5, {}),
        Step("--min-score 0", 4, {"below the threshold": 1}),
        Step("--per-image 2", 3, {"beyond the image's quota": 1}),
        Step("--top-k 2", 2, {"not among the best": 1}),
    )
    assert places(choice) == [2, 3]
    assert [choice.why(place) for place in (0, 5, 3, 4, 1)] == [
        "exact duplicate",
        "below the threshold",
        "beyond the image's quota",
        "not among the best",
        "",
    ]


def test_the_control_is_drawn_from_what_is_scored_and_no_duplicate() -> None:
    columns = columns_of([1.0, 4.0, 3.0, None, 1.5, -1.0], texts=TEXTS)
    choice = choose(columns, Plan(exact_duplicates=True, min_score=3.0))
    assert choice.eligible.tolist() == [False, True, True, False, True, True]


def test_a_fraction_is_of_what_the_rules_before_left() -> None:
    columns = columns_of([1.0, 2.0, 3.0, 4.0, -1.0, None])
    assert places(choose(columns, Plan(min_score=0.0, top_fraction=0.5))) == [3, 4]


@pytest.mark.parametrize(("count", "fraction", "kept"), [(5, 0.5, 3), (10, 0.3, 3), (7, 0.1, 1), (4, 1.0, 4)])
def test_a_fraction_is_rounded_halves_up(count: int, fraction: float, kept: int) -> None:
    columns = columns_of([float(score) for score in range(count)])
    assert choose(columns, Plan(top_fraction=fraction)).chosen.sum() == kept


def test_per_kind() -> None:
    columns = columns_of([1.0, 2.0, 3.0], kinds=["a", "a", "b"])
    assert places(choose(columns, Plan(per_kind=1))) == [2, 3]


def test_text_only_records_stand_beside_the_selection() -> None:
    columns = columns_of([1.0, None, 2.0], why="text-only")
    assert places(choose(columns, Plan(top_k=1))) == [3]
    choice = choose(columns, Plan(top_k=1, keep_text_only=True))
    assert places(choice) == [2, 3]
    assert choice.steps[0] == Step("scored", 2, {})
    assert not choice.eligible[1]
    assert choice.why(1) == ""


@pytest.mark.parametrize(
    ("plan", "named"),
    [(Plan(min_score=9.0), "--min-score 9 keeps none of 2"), (Plan(top_fraction=0.1), "--top-fraction 0.1 keeps none")],
)
def test_nothing_left_is_an_error_that_names_the_rule(plan: Plan, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        choose(columns_of([1.0, 2.0]), plan)


@pytest.mark.parametrize(("scores", "hint"), [([], "the set is empty"), ([None, None], "2 not scored; see the verb")])
def test_nothing_scored_is_an_error(scores: list[float | None], hint: str) -> None:
    with pytest.raises(ValueError, match=f"scored keeps none of {len(scores)} records .*{hint}"):
        choose(columns_of(scores), Plan(keep_text_only=True))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"near_duplicates": 0.0}, "--near-duplicates must"),
        ({"near_duplicates": 1.5}, "--near-duplicates must"),
        ({"top_fraction": float("nan")}, "--top-fraction must"),
        ({"top_k": 0}, "--top-k must"),
        ({"per_image": 0}, "--per-image must"),
        ({"per_kind": -1}, "--per-kind must"),
        ({"min_score": float("nan")}, "--min-score must"),
        ({"top_k": 1, "top_fraction": 0.5}, "exclude each other"),
        ({"balanced": True}, "need --top-k"),
        ({"matched": True, "min_score": 0.0}, "need --top-k"),
        ({"over": "set"}, "--duplicates-over needs"),
    ],
)
def test_options_out_of_range(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Plan(**options)  # type: ignore[arg-type]
