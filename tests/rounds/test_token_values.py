"""Token values of answers: the probabilities that the model gives, batch by batch, and what cannot be scored."""

import math

import pytest

from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.records import exchange
from lightning_c3l.report.token_values import TokenValues
from lightning_c3l.rounds.scoring import Context, score_contexts
from lightning_c3l.rounds.token_values import token_values
from lightning_c3l.rounds.turn_scores import TurnScore
from lightning_c3l.selection.scoring_config import ScoringConfig
from tests.helpers.doubles import TableLVLM

BLIND = {"red": [0.5, 0.25], "no": [0.125]}
SEEN = {("a", "red"): [0.5, 1.0], ("a", "no"): [0.25], ("b", "red"): [1.0, 0.5], ("b", "no"): [0.0]}


def context(image: str, *pairs: tuple[str, str]) -> Context:
    return Context((image,), tuple(exchange(*pair) for pair in pairs))


def logs(*probabilities: float) -> tuple[float, ...]:
    return tuple(round(math.log(one), 4) for one in probabilities)


def values(lvlm: TableLVLM, contexts: list[Context], size: int = 8) -> list[list[TokenValues | None]]:
    return token_values(lvlm, contexts, lambda key: key, BatchSize(size, "size"))  # type: ignore[arg-type, return-value]


@pytest.mark.parametrize("size", [1, 2, 8])
def test_they_are_the_models_probabilities(size: int) -> None:
    contexts = [context("a", ("q", "red"), ("q", "no")), context("b", ("q", "red")), context("a", ("r", "no"))]
    red, no = TokenValues(("r", "ed"), logs(0.5, 1.0), logs(0.5, 0.25)), TokenValues(("no",), logs(0.25), logs(0.125))
    other = TokenValues(("r", "ed"), logs(1.0, 0.5), logs(0.5, 0.25))
    assert values(TableLVLM(SEEN, BLIND), contexts, size) == [[red, no], [other], [no]]


def test_every_turn_of_a_conversation_has_its_values() -> None:
    turns = (*exchange("q", "no"), *exchange("r", "red"))
    ((first, second),) = values(TableLVLM(SEEN, BLIND), [Context(("a",), (turns,))])
    assert first is not None
    assert second is not None
    assert (first.texts, second.texts) == (("no",), ("r", "ed"))


def test_row_files_leave_them_out() -> None:
    contexts, lvlm = [context("a", ("q", "red"), ("q", "no"))], TableLVLM(SEEN, BLIND)
    (plain, found) = (
        score_contexts(lvlm, contexts, lambda key: key, BatchSize(8, "size"), config)[0]  # type: ignore[arg-type, return-value]
        for config in (ScoringConfig(), ScoringConfig(token_values=True))
    )
    assert all(one.tokens for one in found)
    assert [one.to_row() for one in found] == [one.to_row() for one in plain]
    assert [TurnScore.from_row(one.to_row()) for one in found] == plain


def test_a_value_that_is_no_number_is_left_out() -> None:
    ((impossible, possible),) = values(TableLVLM(SEEN, BLIND), [context("b", ("q", "no"), ("q", "red"))])
    assert impossible is None
    assert possible is not None


def test_what_is_too_long_does_not_take_the_others_with_it() -> None:
    lvlm = TableLVLM(SEEN, BLIND, too_long=["endless"])
    found = values(lvlm, [context("a", ("q", "no")), context("a", ("endless", "no"), ("endless", "red"))])
    assert found[0][0] is not None
    assert found[1:] == [[None, None]]


def test_batches_shrink_with_the_memory() -> None:
    lvlm = TableLVLM(SEEN, BLIND, fits=1)
    with pytest.warns(UserWarning, match="out of memory"):
        found = values(lvlm, [context("a", ("q", "no")), context("b", ("q", "red"))], 2)
    assert all(one is not None for own in found for one in own)
