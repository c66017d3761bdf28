"""What the first screen of the page says: whether the rounds helped, what they cost, and how they were started."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning_c3l.functional.finite import finite
from lightning_c3l.report.figures import nested
from lightning_c3l.report.final import final_figures
from lightning_c3l.report.headline import Headline, HeadlineFigure, headline
from lightning_c3l.report.text import duration, number, printable, signed

# what the seconds of a stage were spent on
_STAGES = {
    "generate": "generating",
    "score": "scoring",
    "select": "selecting",
    "train": "training",
    "engine": "storing",
    "wait": "waiting",
}
_REST = "measuring and exporting"


@dataclass(frozen=True)
class Change:
    """How a headline figure changed, as a sentence and as a small drawing.

    Attributes:
        text: the change and its interval.
        marks: positions of `zero`, `low`, `high` and `value` in a drawing that is 100 wide; None without an interval.
    """

    text: str
    marks: Mapping[str, float] | None = None

    @classmethod
    def of(cls, figure: HeadlineFigure) -> "Change | None":
        """The change of a figure; None where one side is missing."""
        if figure.before is None or figure.after is None:
            return None
        value = figure.after - figure.before
        text = signed(value, figure.digits) if round(value, figure.digits) else "no change"
        if figure.interval is None or None in map(finite, figure.interval):
            return cls(text)
        low, high = figure.interval
        text += f" (95 % interval {signed(low, figure.digits)} to {signed(high, figure.digits)})"
        # zero and the interval with a little room
        start, end = min(0.0, low), max(0.0, high)
        width = (end - start) or 1.0
        places = {"zero": 0.0, "low": low, "high": high, "value": value}
        return cls(text, {name: round(4 + 92 * (place - start) / width, 2) for name, place in places.items()})


@dataclass(frozen=True)
class StageShare:
    """Seconds that a stage took, as text and as a share of all."""

    name: str
    time: str
    share: float


@dataclass(frozen=True)
class FirstScreen:
    """Contents of the first screen.

    Attributes:
        headline: sentence and figures.
        figures: each figure with its change.
        cost: what the run took, in words.
        stages: where the time went, the longest first; empty if nothing was measured.
        facts: how the run was made, by name.
        changed: options that differ from the experiment file.
    """

    headline: Headline
    figures: Sequence[tuple[HeadlineFigure, Change | None]]
    cost: str
    stages: Sequence[StageShare]
    facts: Mapping[str, str]
    changed: Mapping[str, str]

    @classmethod
    def of(cls, summary: Mapping[str, Any]) -> "FirstScreen":
        """Everything that the summary holds of it."""
        found, run = headline(summary), nested(summary, "run")
        shown = [one for one in found.figures if one.after is not None]
        texts = {
            str(option): value if isinstance(value, str) else json.dumps(value)
            for option, value in nested(run, "changed").items()
        }
        changed = {option: printable(text, 200) for option, text in texts.items()}
        cost, stages = _cost(summary)
        return cls(found, [(one, Change.of(one)) for one in shown], cost, stages, _facts(summary), changed)


def _cost(summary: Mapping[str, Any]) -> tuple[str, list[StageShare]]:
    """The cost in words, and the seconds of the stages; what no stage accounts for is measuring and exporting.

    Nothing where no time was measured, as in a run of `test`.
    """
    figures, devices = final_figures(summary), nested(summary, "run").get("devices")
    prefix = "seconds_"
    seconds = {
        name.removeprefix(prefix): value for name, value in figures.items() if name.startswith(prefix) and value > 0
    }
    total = seconds.pop("total", sum(seconds.values()))
    if not total:
        return "", []
    words = [
        duration(total),
        f"on {printable(devices, 120)}" if devices else "",
        f"for {number(int(figures['candidates_total']))} candidates" if "candidates_total" in figures else "",
    ]
    named = {_STAGES.get(stage, stage.replace("_", " ")): value for stage, value in seconds.items()}
    if (rest := total - sum(named.values())) > 0.005 * total:
        named[_REST] = rest
    whole = sum(named.values())
    ordered = sorted(named.items(), key=lambda item: -item[1])
    return " ".join(filter(None, words)), [StageShare(name, duration(value), value / whole) for name, value in ordered]


def _facts(summary: Mapping[str, Any]) -> dict[str, str]:
    """How the run was made; what is not known is left out."""
    run = nested(summary, "run")
    rejected = finite(summary.get("rejected_images"))
    facts = {
        "command": run.get("command") or summary.get("command"),
        "model": summary.get("model"),
        "seed": summary.get("seed"),
        "started": run.get("started"),
        "version": run.get("version"),
        "W&B": run.get("wandb"),
        # most runs reject none, and then there is nothing to say
        "rejected images": number(int(rejected)) if rejected else summary.get("rejected_images") or None,
    }
    return {name: printable(value, 2000) for name, value in facts.items() if value is not None and value != ""}
