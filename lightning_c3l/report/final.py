"""The figures of the end of a run, by one flat name each: what sweeps optimise, and what runs are compared by."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lightning_c3l.functional.finite import finite
from lightning_c3l.report.figures import nested, rounds_of

# figures of a state on the guard's images, by the names that they have at the end
_OF_STATE = {
    "i2c_mean": "i2c_right",
    "i2c_answer_mean": "i2c_answer",
    "i2c_shuffled_mean": "i2c_other",
    "parsed_rate": "parsed_rate",
    "distinct_rate": "distinct_rate",
    "kind_entropy": "kind_entropy",
    "image_contrast": "image_contrast",
    "answer_tokens": "answer_tokens",
}
_OF_WRITERS = ("truth_rate", "statement_truth", "qa_accuracy", "parsed_rate")
_START, _CONTROL = "starting model", "tuned, lambda 0"


def final_figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Figures of a run that has ended, those of the exported state where states differ.

    Args:
        summary: content of summary.json.

    Returns:
        Finite numbers by name. Figures that need known truth, a held-out set or the guard are left out where those are
        missing; `held_out_criterion` needs no truth.
    """
    figures: dict[str, object] = dict(_guard(nested(summary, "guard")))
    for name in ("base", "tuned"):
        own = nested(nested(summary, "writers"), name)
        figures |= {f"{name}_{key}": own.get(key) for key in _OF_WRITERS}
    figures |= {f"dataset_{key}": value for key, value in nested(summary, "dataset").items()}
    figures |= {f"auroc_{key}": value for key, value in nested(summary, "i2c_auroc").items() if key != "n"}
    figures |= dict(_exposure_bias(nested(summary, "exposure_bias")))
    figures |= dict(_cost(summary))
    return {name: real for name, value in figures.items() if (real := finite(value)) is not None}


def exported_state(guard: Mapping[str, Any]) -> Mapping[str, Any]:
    """The state whose adapter and data set were exported; the last one where nothing says so."""
    states = [state for state in guard.get("states") or [] if isinstance(state, Mapping)]
    chosen = [state for state in states if state.get("round") == guard.get("exported")]
    return chosen[0] if chosen else states[-1] if states else {}


def _guard(guard: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Figures on the guard's images of the exported state, and which state it is."""
    states = [state for state in guard.get("states") or [] if isinstance(state, Mapping)]
    if not states:
        return
    state, best = exported_state(guard), nested(guard, "best")
    figures = {name: nested(state, "figures").get(key) for key, name in _OF_STATE.items()}
    right, other = finite(figures["i2c_right"]), finite(figures["i2c_other"])
    yield from figures.items()
    yield "i2c_difference", None if right is None or other is None else right - other
    # of a run that came no further than its starting model, that one's is no figure of its end
    has_trained = len(states) > 1 or guard.get("exported") is not None
    yield "held_out_criterion", state.get("held_out") if has_trained else None
    yield "held_out_criterion_start", states[0].get("held_out")
    yield "held_out_criterion_best", best.get("held_out")
    yield "limits_broken", sum(len(one.get("tripped") or []) for one in states)
    yield "exported_state", state.get("round")
    yield "best_state", best.get("round")


def _exposure_bias(conditions: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Names without lambda, so that runs with different ones can be compared."""
    tuned = [name for name in conditions if name.startswith("tuned")]
    has_control = len(tuned) > 1
    for condition, figures in conditions.items():
        short = "base" if condition == _START else "control" if has_control and condition == _CONTROL else "tuned"
        for key, value in figures.items() if isinstance(figures, Mapping) else ():
            yield f"exposure_{short}_" + re.sub(r"\W+", "_", key), value


def _cost(summary: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Seconds by stage, and how many candidates the rounds generated."""
    rounds = rounds_of(summary)
    seconds = [nested(one, "seconds") for one in rounds]
    for stage in dict.fromkeys(stage for own in seconds for stage in own):
        yield f"seconds_{stage}", sum(finite(own.get(stage)) or 0.0 for own in seconds)
    yield "seconds_total", summary.get("seconds_total")
    if rounds:
        yield "candidates_total", sum(finite(one.get("candidates")) or 0 for one in rounds)
