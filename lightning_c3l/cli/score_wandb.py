"""What `score` logs to W&B, if a project is given."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from callbacks.wandb_run import KEPT, WandbRunLogger
from callbacks.wandb_values import Histogram, Table
from lightning_c3l.cli.score import ScoreOptions
from lightning_c3l.cli.scored_sample import AnswerSample
from lightning_c3l.functional.finite import finite
from lightning_c3l.runs.folder import RunConfig
from lightning_c3l.selection.reading_ranks import SHUFFLED, RankSample


def begin(options: ScoreOptions) -> WandbRunLogger | None:
    """Begin W&B's run, or continue that of an interrupted scoring of the same output; None without a project.

    W&B's own files go to `<stem>.wandb/` beside the output.
    """
    told = options.log
    if told.wandb is None:
        return None
    run = RunConfig(wandb=told.wandb, wandb_mode=told.wandb_mode, wandb_artifacts=told.wandb_artifacts)
    folder = options.out.with_suffix(".wandb")
    if options.restart:
        (folder / KEPT).unlink(missing_ok=True)
    # plain values
    config = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(options).items()}
    logger = WandbRunLogger(run, folder, config, f"score/{options.out.stem}")
    _ = logger.experiment
    return logger


def log_scored(logger: WandbRunLogger, out: Path, figures: Mapping[str, Any]) -> None:
    """Log what came of a scoring.

    Args:
        logger: W&B's run.
        out: the scored set.
        figures: what `write_scored` returned.
    """
    logger.summarize(dict(_summary(figures)))
    ranks: RankSample = figures["sample"]
    histograms = {f"score/{name}": values for name in (*ranks.readings, SHUFFLED) if (values := ranks.values(name))}
    table = _table(figures["shown"], ranks.readings)
    logger.log({name: Histogram(values) for name, values in histograms.items()} | {"answers": table})
    beside = [out.with_suffix(end) for end in (".meta.json", ".rejected.jsonl")]
    logger.log_files("scored", [out, *beside, *([figures["page"]] if "page" in figures else [])])
    # whoever scores to this output again begins another run
    (out.with_suffix(".wandb") / KEPT).unlink(missing_ok=True)


def _summary(figures: Mapping[str, Any]) -> dict[str, float]:
    """Counts, means and the control, by the names that they have in the summary."""
    names = ("records", "scored", "text_only", "rejected", "listed", "above_shuffled")
    values = {f"score/{name}": figures[name] for name in names}
    values |= {f"score/{name}_mean": value for name, value in figures["mean"].items()}
    explained = figures["ranks"]["explained_by_shuffled"]
    values |= {f"score/{name}_explained_by_shuffled": value for name, value in explained.items()}
    return {name: real for name, value in values.items() if (real := finite(value)) is not None}


def _table(sample: AnswerSample, readings: Sequence[str]) -> Table:
    """A row for each answer of the sample."""
    readings = (*readings, "tokens", SHUFFLED)
    rows = []
    for shown_as, one in sample.answers():
        numbers = [finite(one.scores.get(name)) for name in readings]
        rows.append([shown_as, one.record, one.turn, one.image, one.question, one.text, *numbers])
    return Table(["shown as", "record", "turn", "image", "question", "text", *readings], rows)
