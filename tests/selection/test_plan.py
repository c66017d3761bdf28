"""Rules in their order, and what is said about those that fell."""

import pytest

from lightning_c3l.selection.plan import Selection, SelectionPlan, Step, select_records
from tests.selection.sets import columns_of

TEXTS = [["a b c"], ["a b c"], ["d e f"], ["g h i"], ["j k l"], ["m n o"]]


def positions(selection: Selection) -> list[int]:
    return [position + 1 for position, chosen in enumerate(selection.chosen) if chosen]


def test_no_rule_keeps_all_that_is_scored() -> None:
    selection = select_records(columns_of([1.0, None, -2.0, None]), SelectionPlan())
    assert positions(selection) == [1, 3]
    assert selection.steps == (Step("scored", 2, {"not scored": 2}),)
    assert [selection.why(position) for position in range(4)] == ["", "not scored", "", "not scored"]


def test_rules_go_in_their_order() -> None:
    # 1 falls to 2; 6 is below 0; image 1 leaves 2 and 3; of 2, 3 and 5 the best two
    columns = columns_of([1.0, 4.0, 3.0, 2.0, 1.5, -1.0], images=[1, 1, 1, 1, 2, 2], texts=TEXTS)
    selection = select_records(columns, SelectionPlan(near_duplicates=0.8, min_score=0.0, per_image=2, top_k=2))
    assert selection.steps == (
        Step("scored", 6, {}),
        Step("--exact-duplicates", 5, {"exact duplicate": 1}),
        Step("--near-duplicates 0.8", 5, {}),
        Step("--min-score 0", 4, {"below the threshold": 1}),
        Step("--per-image 2", 3, {"beyond the image's quota": 1}),
        Step("--top-k 2", 2, {"not among the best": 1}),
    )
    assert positions(selection) == [2, 3]
    assert [selection.why(position) for position in (0, 5, 3, 4, 1)] == [
        "exact duplicate",
        "below the threshold",
        "beyond the image's quota",
        "not among the best",
        "",
    ]


def test_the_control_is_drawn_from_what_is_scored_and_no_duplicate() -> None:
    columns = columns_of([1.0, 4.0, 3.0, None, 1.5, -1.0], texts=TEXTS)
    selection = select_records(columns, SelectionPlan(exact_duplicates=True, min_score=3.0))
    assert selection.eligible.tolist() == [False, True, True, False, True, True]


def test_a_fraction_is_of_what_the_rules_before_left() -> None:
    columns = columns_of([1.0, 2.0, 3.0, 4.0, -1.0, None])
    assert positions(select_records(columns, SelectionPlan(min_score=0.0, top_fraction=0.5))) == [3, 4]


@pytest.mark.parametrize(("count", "fraction", "kept"), [(5, 0.5, 3), (10, 0.3, 3), (7, 0.1, 1), (4, 1.0, 4)])
def test_a_fraction_is_rounded_halves_up(count: int, fraction: float, kept: int) -> None:
    columns = columns_of([float(score) for score in range(count)])
    assert select_records(columns, SelectionPlan(top_fraction=fraction)).chosen.sum() == kept


def test_per_kind() -> None:
    columns = columns_of([1.0, 2.0, 3.0], kinds=["a", "a", "b"])
    assert positions(select_records(columns, SelectionPlan(per_kind=1))) == [2, 3]


def test_text_only_records_stand_beside_the_selection() -> None:
    columns = columns_of([1.0, None, 2.0], why="text-only")
    assert positions(select_records(columns, SelectionPlan(top_k=1))) == [3]
    selection = select_records(columns, SelectionPlan(top_k=1, text_only="keep"))
    assert positions(selection) == [2, 3]
    assert selection.steps[0] == Step("scored", 2, {})
    assert not selection.eligible[1]
    assert selection.why(1) == ""


def test_yes_is_kept_as_often_as_no_unless_told_otherwise() -> None:
    columns = columns_of([5.0, 4.0, 3.0, 2.0, 1.0], answers=["yes", "yes", "red", "yes", "no"])
    balanced = select_records(columns, SelectionPlan(top_k=3))
    assert positions(balanced) == [1, 3, 5]
    assert balanced.steps[-1] == Step(
        "--top-k 3 --balance-yes-no", 3, {"not among the best": 1, "beyond the balance of yes and no": 1}
    )
    assert [balanced.why(position) for position in (1, 3)] == ["beyond the balance of yes and no", "not among the best"]
    assert str(balanced.yes_no) == "answers balanced: 1 yes and 1 no; by score alone 2 yes and 0 no"
    many = select_records(columns, SelectionPlan(top_k=5)).yes_no
    assert str(many) == "answers not balanced, too few say no: 3 yes and 1 no; by score alone 3 yes and 1 no"
    by_score = select_records(columns, SelectionPlan(top_k=3, balance_yes_no=False))
    assert positions(by_score) == [1, 2, 3]
    assert by_score.steps[-1] == Step("--top-k 3", 3, {"not among the best": 2})
    assert by_score.yes_no is None


def test_there_is_nothing_to_balance_without_a_size_or_without_yes_and_no() -> None:
    answers = ["yes", "yes", "no"]
    assert select_records(columns_of([3.0, 2.0, 1.0], answers=answers), SelectionPlan(min_score=1.5)).yes_no is None
    assert select_records(columns_of([3.0, 2.0, 1.0]), SelectionPlan(top_k=2)).yes_no is None


def test_an_empty_selection_is_returned_where_it_is_allowed() -> None:
    everything = SelectionPlan(
        near_duplicates=0.8, one_per_question=True, min_score=9.0, per_image=1, per_kind=1, top_k=2, balance="kinds"
    )
    for scores, texts in (([1.0, None], [["a"], ["b"]]), ([], [])):
        assert not select_records(columns_of(scores, texts=texts), everything, allow_empty=True).chosen.any()


@pytest.mark.parametrize(
    ("plan", "named"),
    [
        (SelectionPlan(min_score=9.0), "--min-score 9 keeps none of 2"),
        (SelectionPlan(top_fraction=0.1), "--top-fraction 0.1 keeps none"),
    ],
)
def test_nothing_left_is_an_error_that_names_the_rule(plan: SelectionPlan, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        select_records(columns_of([1.0, 2.0]), plan)


@pytest.mark.parametrize(("scores", "hint"), [([], "the set is empty"), ([None, None], "2 not scored; see the verb")])
def test_nothing_scored_is_an_error(scores: list[float | None], hint: str) -> None:
    with pytest.raises(ValueError, match=f"scored keeps none of {len(scores)} records .*{hint}"):
        select_records(columns_of(scores), SelectionPlan(text_only="keep"))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"near_duplicates": 0.0}, "near_duplicates must"),
        ({"near_duplicates": 1.5}, "near_duplicates must"),
        ({"top_fraction": float("nan")}, "top_fraction must"),
        ({"top_k": 0}, "top_k must"),
        ({"per_image": 0}, "per_image must"),
        ({"per_kind": -1}, "per_kind must"),
        ({"min_score": float("nan")}, "min_score must"),
        ({"top_k": 1, "top_fraction": 0.5}, "exclude each other"),
        ({"balance": "kinds"}, "need top_k"),
        ({"length_matched": True, "min_score": 0.0}, "need top_k"),
        ({"duplicates_over": "set"}, "duplicates_over needs"),
    ],
)
def test_options_out_of_range(options: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        SelectionPlan(**options)  # type: ignore[arg-type]
