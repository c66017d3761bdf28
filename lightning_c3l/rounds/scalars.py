"""The numbers of a round by flat names, as loggers take them."""

from typing import Any

from lightning_c3l.functional.finite import finite
from lightning_c3l.report.figures import nested
from lightning_c3l.rounds.store import RunStore


def round_scalars(store: RunStore, number: int) -> dict[str, float]:
    """All numbers of a round by one flat name each, with what the guard says of the state that generated it.

    Raises:
        DamagedRound: the figures are not what was written.
    """
    scalars = dict[str, float]()
    for name, value in store.read_figures(number).items():
        # such as `kind_shares` and `seconds`
        prefix = {"kind_shares": "kind"}.get(name, name)
        several = {f"{prefix}_{key}": one for key, one in value.items()} if isinstance(value, dict) else {name: value}
        scalars |= {key: one for key, one in several.items() if finite(one) is not None}
    return {**scalars, **state_scalars(store, number)}


def state_scalars(store: RunStore, number: int) -> dict[str, float]:
    """What the guard says of a state of the model; empty where it has not judged it."""
    states: list[dict[str, Any]] = nested(store.summary(), "guard").get("states") or []
    state = next((one for one in states if one.get("round") == number), {})
    broken = {"limits_broken": len(state["tripped"])} if "tripped" in state else {}
    criterion = finite(state.get("held_out"))
    return {**broken, **({} if criterion is None else {"held_out_criterion": criterion})}
