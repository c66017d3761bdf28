"""`check-scores`: how well the scores of a labelled set tell its right records from its wrong ones."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from data_modules.formats import read_records, record_kind
from lightning_c3l.cli.options import parse_options
from lightning_c3l.functional.ranking import auroc, auroc_interval
from lightning_c3l.report.charts import histogram
from lightning_c3l.report.progress import track
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic
from lightning_c3l.selection.reading_ranks import SHUFFLED, TOKENS, RankSample, ranks_table
from lightning_c3l.selection.scores import record_score, require_reading

ALL = "all"


@dataclass(frozen=True)
class CheckScoresOptions:
    """Measure how well each reading of a scored and labelled set tells its right records from its wrong ones.

    Example:
        c3l check-scores runs/easy-vqa/scored.jsonl --at-least 0.9

    Attributes:
        source: labelled set that `score` wrote.
        label: field of a record that says whether it is right.
        right: value of that field in right records.
        wrong: value of that field in wrong records; all other records are left out.
        at_least: end with status 1 if the AUROC of `answer` over all records is lower.
        readings: readings of your own that the set was scored by, `module.function`.
    """

    source: Path
    label: str = "verdict"
    right: str = "right"
    wrong: str = "wrong"
    at_least: float | None = None
    readings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check the names of readings."""
        for name in self.readings:
            require_reading("--readings", name)


@dataclass
class Labelled:
    """Scores of the right and the wrong records of one kind, by reading."""

    right: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    wrong: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def figures(self, name: str) -> dict[str, Any]:
        """Area under the ROC curve of one reading, and its interval."""
        right, wrong = self.right[name], self.wrong[name]
        scores, labels = [*right, *wrong], [True] * len(right) + [False] * len(wrong)
        if not right or not wrong:
            return {"auroc": None, "interval": None, "right": len(right), "wrong": len(wrong)}
        found = {"auroc": auroc(scores, labels), "interval": auroc_interval(scores, labels)}
        return {**found, "right": len(right), "wrong": len(wrong)}


def main(arguments: list[str]) -> int:
    """Run the verb `check-scores`; returns its exit status."""
    options = parse_options("check-scores", CheckScoresOptions, arguments)
    ranks = RankSample(more=options.readings)
    kinds = _read(options, ranks)
    right, wrong = len(kinds[ALL].right["answer"]), len(kinds[ALL].wrong["answer"])
    if not right or not wrong:
        raise ValueError(
            f"{options.source}: needs right and wrong records with scores, and has {right} and {wrong}: give each "
            f"record {options.label!r}, {options.right!r} or {options.wrong!r}, and run `score` on the set"
        )
    found = {kind: {name: own.figures(name) for name in ranks.readings} for kind, own in sorted(kinds.items())}
    how = ranks.figures()
    figures, drawing = (options.source.with_suffix(f".check.{kind}") for kind in ("json", "svg"))
    write_json_atomic(figures, {**found, "ranks": how})
    groups = {"right": kinds[ALL].right["answer"], "wrong": kinds[ALL].wrong["answer"]}
    title = "S(I²C) of right and of wrong records"
    chart = histogram(title, groups, "answer reading, nats per token", "records")
    write_text_atomic(drawing, chart)
    Console().print(_table(found), ranks_table(how))
    print(f"figures in {figures}, chart in {drawing}")
    reached = found[ALL]["answer"]["auroc"]
    if options.at_least is not None and reached < options.at_least:
        print(f"answer reaches {reached:.3f}, less than {options.at_least}")
        return 1
    return 0


def _read(options: CheckScoresOptions, ranks: RankSample) -> dict[str, Labelled]:
    kinds: dict[str, Labelled] = defaultdict(Labelled)
    for entry in track(read_records(options.source), "read", "records"):
        if entry.record is None:
            continue
        label = str(entry.record.extra.get(options.label))
        if label in (options.right, options.wrong):
            found = {name: record_score(entry.record.extra, name) for name in (*ranks.readings, SHUFFLED)}
            scores = {name: one.value for name, one in found.items()}
            ranks.add({**scores, TOKENS: float(found["answer"].tokens)})
            for name in ranks.readings:
                # a kind none of whose records has a score is none to show
                for kind in (ALL, record_kind(entry.record)) if math.isfinite(found[name].value) else ():
                    columns = kinds[kind].right if label == options.right else kinds[kind].wrong
                    columns[name].append(found[name].value)
    return kinds


def _table(found: dict[str, dict[str, Any]]) -> Table:
    """The areas of each kind, and below those of all records their intervals."""
    table = Table("AUROC", *found[ALL], "right", "wrong", caption="from, to: 95 % intervals of all records")
    for kind, figures in found.items():
        own, areas = figures["answer"], [one["auroc"] for one in figures.values()]
        table.add_row(kind, *map(_cell, areas), str(own["right"]), str(own["wrong"]))
        if kind == ALL:
            ends = zip(*(one["interval"] or (None, None) for one in figures.values()), strict=True)
            for name, values in zip(("  from", "  to"), ends, strict=True):
                table.add_row(name, *map(_cell, values))
    return table


def _cell(area: float | None) -> str:
    return "-" if area is None else f"{area:.3f}"
