"""What W&B shows of a round."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from PIL.Image import Image

from callbacks.wandb_values import Histogram, Table
from lightning_c3l.functional.finite import finite
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.records import READINGS, READINGS_AND_RIVAL, ScoredCandidate
from lightning_c3l.report.candidate_columns import CandidateColumns
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.selection.scoring_config import own_readings

# rows of a round's table from the top, from the bottom and at random
_ROWS = 8
# longest side of their images, in pixels
_THUMBNAIL = 160
# what sweeps optimise. W&B's early termination goes by the history of that one metric, so it has a value after each
# training; the first state has none, for it would be the best that a trial which only does harm has to show
_SWEPT = "held_out_criterion"


def round_values(
    store: RunStore, number: int, scalars: Mapping[str, float], read_image: Callable[[str], Image | None]
) -> dict[str, Any]:
    """Everything that W&B shows of a round.

    Args:
        store: the run folder.
        number: of the round.
        scalars: its figures.
        read_image: the image of a key, None where it cannot be read.

    Raises:
        DamagedRound: a file is not what was written.
    """
    columns = CandidateColumns.of(store.read_round(number).candidates, store.reading(number))
    # the one reading that is measured with another image too
    readings = {
        "i2c_right": columns.answer,
        "i2c_other": columns.shuffled,
        "i2c_positives": columns.answer[columns.with_status("positive")],
    }
    histograms = {name: values[np.isfinite(values)] for name, values in readings.items()}
    shown = {name: Histogram(values) for name, values in histograms.items() if len(values)}
    table = candidates_table(columns, number, read_image)
    so_far = swept(scalars) if number > 0 else {}
    return {"round": number, **of_round(scalars), **of_round(shown), **so_far, "candidates": table}


def candidates_table(candidates: CandidateColumns, seed: int, read_image: Callable[[str], Image | None]) -> Table:
    """The candidates with the highest and the lowest scores, and some at random, rejected ones among them.

    Args:
        candidates: of a round, with the reading of S(I2C) that orders them.
        seed: of the random ones.
        read_image: the image of a key, None where it cannot be read.

    Returns:
        A row for each, with its image as a thumbnail; `truth` is a column where any of the candidates was judged.
    """
    known = bool(candidates.verdict.any())
    columns = ["shown as", "image", "question", "answer", "kind", "status", "rejected"]
    own = own_readings(candidates.reading)
    columns += [*(f"S(I2C) {name}" for name in READINGS), "mean_logp", *own, "S(I2C) other image"]
    columns += [*(["truth"] if known else []), "image key"]
    rows = []
    for shown_as, one in _chosen(candidates, seed):
        candidate, image = one.candidate, read_image(one.candidate.image)
        if image is not None:
            image = image.convert("RGB")
            image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        scores = {} if one.scores is None else one.scores.to_row()
        # of a text that could not be parsed, all of it
        texts = [candidate.question, candidate.answer or candidate.text, candidate.instruction.kind, one.status]
        readings = [finite(scores.get(name)) for name in (*READINGS_AND_RIVAL, *own)]
        row = [shown_as, image, *texts, candidate.rejected, *readings, finite(one.shuffled)]
        rows.append([*row, *([one.verdict] if known else []), candidate.image])
    return Table(columns, rows)


def _chosen(columns: CandidateColumns, seed: int) -> Iterator[tuple[str, ScoredCandidate]]:
    """Each candidate at most once, with why it is shown."""
    scored = np.isfinite(columns.score)
    top, bottom = columns.best_and_worst(scored, _ROWS)
    bottom = bottom[~np.isin(bottom, top)]
    is_other = np.ones(len(columns.score), np.bool_)
    is_other[top] = is_other[bottom] = False
    others = np.flatnonzero(is_other)
    chosen = others[stream("wandb", seed).sample(range(len(others)), min(_ROWS, len(others)))]
    for shown_as, positions in (("top", top), ("bottom", bottom), ("random", chosen)):
        yield from ((shown_as, columns.candidates[position]) for position in positions.tolist())


def swept(figures: Mapping[str, float]) -> dict[str, float]:
    """What sweeps optimise, if it is among the figures."""
    return {f"final/{_SWEPT}": figures[_SWEPT]} if _SWEPT in figures else {}


def of_round(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values under the names that they have on W&B."""
    return {f"round/{name}": value for name, value in values.items()}
