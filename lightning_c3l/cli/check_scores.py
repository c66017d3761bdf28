"""`check-scores`: how well the scores of a labelled set tell its right records from its wrong ones."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from data_modules.formats import Record, read_records, record_kind
from lightning_c3l.cli.options import parse_options
from lightning_c3l.functional.ranking import auroc, auroc_interval
from lightning_c3l.records import READINGS_AND_RIVAL
from lightning_c3l.report.charts import histogram
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic
from lightning_c3l.selection.reading_ranks import SHUFFLED, TOKENS, RankSample, ranks_table
from lightning_c3l.selection.scores import record_score

ALL = "all"


@dataclass(frozen=True)
class CheckScoresOptions:
    """Measure how well each reading of a scored and labelled set tells its right records from its wrong ones.

    Attributes:
        source: a set that `score` wrote.
        label: field of a record that says whether it is right.
        right: its value in right records.
        wrong: its value in wrong records; others are left out.
        at_least: status 1 if `answer` lies below, over all records.
    """

    source: Path
    label: str = "verdict"
    right: str = "right"
    wrong: str = "wrong"
    at_least: float | None = None


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
    ranks = RankSample()
    kinds = _read(options, ranks)
    if not kinds[ALL].right["answer"] or not kinds[ALL].wrong["answer"]:
        raise ValueError(
            f"{options.source}: needs scored records (see `score`) of both sorts, with {options.label!r} "
            f"{options.right!r} and {options.wrong!r}"
        )
    found = {kind: {name: own.figures(name) for name in READINGS_AND_RIVAL} for kind, own in sorted(kinds.items())}
    how = ranks.figures()
    write_json_atomic(options.source.with_suffix(".check.json"), {**found, "ranks": how})
    write_text_atomic(options.source.with_suffix(".check.svg"), _chart(kinds[ALL]))
    Console().print(_table(found), ranks_table(how))
    print(f"figures in {options.source.with_suffix('.check.json')}, a chart beside it")
    reached = found[ALL]["answer"]["auroc"]
    if options.at_least is not None and reached < options.at_least:
        print(f"answer reaches {reached:.3f}, less than {options.at_least}")
        return 1
    return 0


def _read(options: CheckScoresOptions, ranks: RankSample) -> dict[str, Labelled]:
    kinds: dict[str, Labelled] = defaultdict(Labelled)
    for entry in tqdm(read_records(options.source), desc="read", unit="record", delay=1):
        if entry.record is None:
            continue
        label = str(entry.record.extra.get(options.label))
        if label in (options.right, options.wrong):
            ranks.add(_scores(entry.record))
            for kind in (ALL, record_kind(entry.record)):
                _add(kinds[kind].right if label == options.right else kinds[kind].wrong, entry.record)
    return kinds


def _add(columns: dict[str, list[float]], record: Record) -> None:
    for name in READINGS_AND_RIVAL:
        value = record_score(record.extra, name).value
        if math.isfinite(value):
            columns[name].append(value)


def _scores(record: Record) -> dict[str, float]:
    """The scores of a record over its answers, and their length."""
    names = (*READINGS_AND_RIVAL, SHUFFLED)
    found = {name: record_score(record.extra, name) for name in names}
    return {**{name: one.value for name, one in found.items()}, TOKENS: float(found["answer"].tokens)}


def _chart(all_: Labelled) -> str:
    groups = {"right": all_.right["answer"], "wrong": all_.wrong["answer"]}
    return histogram("S(I²C) of right and of wrong records", groups, "answer reading, nats per token", "records")


def _table(found: dict[str, dict[str, Any]]) -> Table:
    table = Table("AUROC", *READINGS_AND_RIVAL, "right", "wrong")
    for kind, figures in found.items():
        own = figures["answer"]
        table.add_row(
            kind, *(_cell(figures[name]) for name in READINGS_AND_RIVAL), str(own["right"]), str(own["wrong"])
        )
    return table


def _cell(figures: dict[str, Any]) -> str:
    return "-" if figures["auroc"] is None else f"{figures['auroc']:.3f}"
