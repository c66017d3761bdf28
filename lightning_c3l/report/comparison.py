"""Several runs beside each other: figures with intervals of their differences, options that differ, the best run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from lightning_c3l.report.differences import (
    FigureDifference,
    benchmark_figures,
    difference_of,
    run_figures,
    same_images,
    same_questions,
    same_reading,
    same_scorer,
)
from lightning_c3l.report.figures import HELD_OUT, FigureLabel, criterion_name, figure, nested
from lightning_c3l.report.headline import Headline, headline
from lightning_c3l.report.text import number, signed
from lightning_c3l.runs.config_file import differences

# figures of the table, in its order; all others that a run has follow, folded away
_SHOWN = {
    "held_out_criterion": FigureLabel(
        HELD_OUT,
        "S(I\u00b2C) with the own image less that with another, of the exported state, in nats per token.",
    ),
    "held_out_criterion_start": FigureLabel(f"{HELD_OUT}, starting model", "The same of state 0."),
    "held_out_criterion_best": FigureLabel(f"{HELD_OUT}, best state", "The same of the best state."),
    "tuned_truth_rate": FigureLabel("truth of generated pairs", "Right pairs among all about held-out images."),
    "base_truth_rate": FigureLabel("truth of generated pairs, starting model"),
    "tuned_qa_accuracy": FigureLabel("answering accuracy", "Given questions that the tuned model answers correctly."),
    "dataset_truth_rate": FigureLabel("truth of the data set", "Right pairs over all selected pairs."),
    "dataset_random_truth_rate": FigureLabel("truth of a random data set", "Of the same size, kinds and lengths."),
    "dataset_pairs": FigureLabel("pairs in the data set", digits=0),
    "i2c_right": FigureLabel("S(I\u00b2C), right image", "Of the exported state, on the guard's images."),
    "i2c_other": FigureLabel("S(I\u00b2C) answer, another image", "By the reading `answer`, against another image."),
    "parsed_rate": figure("parsed_rate"),
    "distinct_rate": figure("distinct_rate"),
    "kind_entropy": figure("kind_entropy"),
    "image_contrast": figure("image_contrast"),
    "answer_tokens": figure("answer_tokens"),
    "limits_broken": FigureLabel("limits broken", "Of the guard, by all states.", 0),
    "exported_state": FigureLabel("exported state", digits=0),
    "best_state": FigureLabel("best state", digits=0),
    "auroc_answer": FigureLabel("AUROC of S(I\u00b2C)", "Chance that a right text scores above one that is not."),
    "seconds_total": FigureLabel("seconds", digits=0),
}
# figures that are not better where they are higher, nor worse
_LOWER_IS_BETTER = frozenset({"limits_broken", "i2c_other"})
_NEITHER = frozenset(
    {"exported_state", "best_state", "answer_tokens", "dataset_pairs", "seconds_total", "kind_entropy"}
)
# where a run lies and what it resumes from
_BOOKKEEPING = ("run.*", "ckpt_path", "weights_only", "trainer.default_root_dir")
# of more runs, the best is partly the luckiest
_FEW = 5


@dataclass(frozen=True)
class ComparedRun:
    """A run as it is compared.

    Attributes:
        name: tells it from the others.
        status: how it ended: finished, running, interrupted or failed.
        summary: content of its summary.json, as far as there is one.
        config: its configuration, empty where it cannot be read.
        problems: what cannot be read.
    """

    name: str
    status: str
    summary: Mapping[str, Any]
    config: Mapping[str, Any]
    problems: tuple[str, ...] = ()

    @cached_property
    def figures(self) -> Mapping[str, float]:
        """Figures of its end."""
        return run_figures(self.summary)

    @cached_property
    def headline(self) -> Headline:
        """Whether its rounds helped."""
        return headline(self.summary)


@dataclass(frozen=True)
class Cell:
    """A figure of a run, and how it differs from the first run's; None where it cannot be compared."""

    value: float | None
    difference: FigureDifference | None = None

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out 0."""
        interval = None if self.difference is None else self.difference.interval
        return interval is not None and (interval[0] > 0 or interval[1] < 0)


@dataclass(frozen=True)
class ComparedFigure:
    """A figure of all runs.

    Attributes:
        key: its name in `run_figures`.
        label: how it is shown.
        cells: of each run, in their order.
    """

    key: str
    label: FigureLabel
    cells: Sequence[Cell]

    def is_better(self, cell: Cell) -> bool | None:
        """Whether a run is better than the first by this figure; None where that cannot be told from chance."""
        if not cell.is_certain or cell.difference is None or self.key in _NEITHER:
            return None
        return (cell.difference.change > 0) != (self.key in _LOWER_IS_BETTER)


@dataclass(frozen=True)
class BestRun:
    """Which run is best and by which figure.

    Attributes:
        sentence: the answer, or why there is none.
        name: of the run, empty where none can be named.
        is_certain: whether its lead over the next can be told from chance.
    """

    sentence: str
    name: str = ""
    is_certain: bool = False


@dataclass(frozen=True)
class RunComparison:
    """Everything that is said of several runs.

    Attributes:
        runs: the first is what the others are compared with.
        figures: those that matter most.
        others: all others.
        options: values of each option that differs, None where a run does not have it.
        best: the best run.
        notes: what limits the comparison.
    """

    runs: Sequence[ComparedRun]
    figures: Sequence[ComparedFigure]
    others: Sequence[ComparedFigure]
    options: Mapping[str, Sequence[str | None]]
    best: BestRun
    notes: Sequence[str]


def compare(runs: Sequence[ComparedRun]) -> RunComparison:
    """Compare runs with the first of them.

    Args:
        runs: at least two.
    """
    known = dict.fromkeys(key for run in runs for key in run.figures)
    benchmarks = dict.fromkeys(key for run in runs for key in benchmark_figures(run.summary))
    name = shared_criterion(runs)
    ours = {key: replace(label, label=label.label.replace(HELD_OUT, name)) for key, label in _SHOWN.items()}
    labels = {**{key: figure(key) for key in benchmarks}, **ours}
    shown = [key for key in labels if key in known]
    return RunComparison(
        runs=runs,
        figures=[_compared(runs, key, labels[key]) for key in shown],
        others=[_compared(runs, key, figure(key)) for key in known if key not in labels],
        options=_options(runs),
        best=best_run(runs),
        notes=list(_notes(runs)),
    )


def shared_criterion(runs: Sequence[ComparedRun]) -> str:
    """What the guard's criterion of all runs is called; of runs that measured it on different kinds of images, both."""
    guards = [nested(run.summary, "guard") for run in runs]
    return " or ".join(sorted({criterion_name(one) for one in guards if one.get("states")}, reverse=True)) or HELD_OUT


def _compared(runs: Sequence[ComparedRun], key: str, label: FigureLabel) -> ComparedFigure:
    first, cells = runs[0], [Cell(runs[0].figures.get(key))]
    for run in runs[1:]:
        # means of S(I2C) are by the reading that a run selects by; numbers of states are no amounts
        is_alike = not key.startswith("i2c_") or same_reading(first.config, run.config)
        is_alike = is_alike and not key.endswith("_state")
        before, after = first.figures.get(key), run.figures.get(key)
        difference = None
        if is_alike and before is not None and after is not None:
            difference = difference_of(key, after - before, first.summary, run.summary)
        cells.append(Cell(after, difference))
    return ComparedFigure(key, label, cells)


def _options(runs: Sequence[ComparedRun]) -> dict[str, list[str | None]]:
    """Values of each option in which some run differs from the first that has a configuration."""
    configured = [run.config for run in runs if run.config]
    names = dict.fromkeys(
        option
        for config in configured[1:]
        for option, _, _ in differences(configured[0], config)
        if not any(fnmatchcase(option, pattern) for pattern in _BOOKKEEPING)
    )
    return {name: [_value(run.config, name) for run in runs] for name in names}


def _value(config: Any, option: str) -> str | None:
    """The value of an option by its name on the command line, which leaves `init_args` out; None without one."""
    for part in option.split("."):
        if isinstance(config, Mapping) and part not in config:
            config = nested(config, "init_args")
        if isinstance(config, list) and part.isdecimal() and int(part) < len(config):
            config = config[int(part)]
        elif isinstance(config, Mapping) and part in config:
            config = config[part]
        else:
            return None
    # as the command line takes it
    return config if isinstance(config, str) else json.dumps(config, default=str)


def best_run(runs: Sequence[ComparedRun]) -> BestRun:
    """The finished run that is best by known truth, else by the guard's criterion.

    A figure decides only where it was measured on the same images in all finished runs, and by the same scorer.
    """
    finished = [run for run in runs if run.status == "finished"]
    if len(finished) < 2:
        return BestRun("No run is called best: fewer than two have finished.")
    summaries = [run.summary for run in finished]
    for key in ("tuned_truth_rate", "held_out_criterion"):
        is_shared = all(key in run.figures for run in finished) and all(
            same_images(key, summaries[0], other) for other in summaries[1:]
        )
        if is_shared and (key != "held_out_criterion" or all(same_scorer(summaries[0], one) for one in summaries[1:])):
            return _best_by(finished, key)
    return BestRun(
        "No run is called best: neither truth nor the guard's criterion was measured on the same images, by the same "
        "starting model, in all finished runs."
    )


def _best_by(runs: Sequence[ComparedRun], key: str) -> BestRun:
    best, second = sorted(runs, key=lambda run: -run.figures[key])[:2]
    label = shared_criterion(runs) if key == "held_out_criterion" else _SHOWN[key].label
    high, low = (number(run.figures[key]) for run in (best, second))
    equal = [run.name for run in runs if run.figures[key] == best.figures[key]]
    if len(equal) > 1:
        others = equal[1] if len(equal) == 2 else f"{len(equal) - 1} others"
        return BestRun(f"By {label} {equal[0]} and {others} are equal ({high}).")
    lead = difference_of(key, best.figures[key] - second.figures[key], second.summary, best.summary)
    sentence = f"Best by {label}: {best.name} with {high}, next {second.name} with {low}"
    if lead is None or lead.interval is None:
        return BestRun(f"{sentence}.", best.name)
    ends = "{} to {}".format(*map(signed, lead.interval))
    is_certain = lead.interval[0] > 0
    chance = "" if is_certain else ", which cannot be told from chance"
    return BestRun(f"{sentence} (difference 95 % {ends}{chance}).", best.name, is_certain)


def _notes(runs: Sequence[ComparedRun]) -> Iterator[str]:
    """What limits the comparison."""
    first = runs[0]
    for run in runs:
        if run.status != "finished":
            yield (
                f"{run.name} {'is still running' if run.status == 'running' else f'was not finished ({run.status})'}: "
                "shown is what it has so far."
            )
        yield from (f"{run.name}: {problem}" for problem in run.problems)
    for run in runs[1:]:
        if not same_scorer(first.summary, run.summary):
            yield f"{run.name} began from another model than {first.name}: figures of S(I\u00b2C) are not compared."
        elif not same_reading(first.config, run.config):
            yield f"{run.name} has another reading of S(I\u00b2C) than {first.name}: its means are not compared."
        apart = [
            name
            for key, name in (("held_out_criterion", "the criterion"), ("tuned_truth_rate", "truth"))
            if key in first.figures and key in run.figures and not same_images(key, first.summary, run.summary)
        ]
        if apart:
            what = " and ".join(apart)
            yield f"{run.name} measured {what} on other images than {first.name}: the intervals are not paired."
        if not same_questions(first.summary, run.summary):
            yield f"{run.name} answered other questions than {first.name}: their figures are not compared."
        versions = [nested(one.summary, "run").get("version") for one in (first, run)]
        if None not in versions and versions[0] != versions[1]:
            yield f"{run.name} was made by version {versions[1]}, {first.name} by {versions[0]}."
    if len(runs) > _FEW:
        yield f"The best of {len(runs)} runs is partly the luckiest: run it again with another seed or other images."
