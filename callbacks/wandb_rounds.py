"""Rounds, and the figures and files of a run's end, on W&B."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from PIL.Image import Image

from callbacks.order import Order
from callbacks.report import image_or_none
from callbacks.round_logger import round_scalars, state_scalars
from callbacks.wandb_run import Histogram, Table, wandb_run_of
from lightning_c3l.functional.finite import finite
from lightning_c3l.functional.random_streams import stream
from lightning_c3l.records import READINGS, READINGS_AND_RIVAL, ScoredCandidate
from lightning_c3l.report.final import final_figures
from lightning_c3l.rounds.run import RoundRun
from lightning_c3l.rounds.store import DamagedRound, RunStore

# rows of a round's table from the top, from the bottom and at random
_ROWS = 8
# longest side of their images, in pixels
_THUMBNAIL = 160
# what sweeps optimise. W&B's early termination goes by the history of that one metric, so it has a value after each
# training; the first state has none, for it would be the best that a trial which only does harm has to show
_SWEPT = "held_out_criterion"
_DATA_SET = ("vlit.json", "vlit.parquet", "vlit.card.md")


class WandbRounds(Callback):
    """Logs each round over `round`, and what the whole run is compared by when it ends.

    The last round is made before the last training: what it shows is in `round/...` alone, and the run's summary holds
    `final/...`, which is measured after it.
    """

    order = Order.WANDB

    def __init__(self) -> None:
        self._logged = -1

    def state_dict(self) -> dict[str, Any]:
        """Last round that was logged."""
        return {"logged": self._logged}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """A resumed run does not log a round twice."""
        self._logged = state_dict["logged"]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the rounds that were made in hooks before this one."""
        logger, run = wandb_run_of(trainer), RoundRun.of(trainer, pl_module)
        if logger is None or run is None or not trainer.is_global_zero:
            return
        for number in [n for n in run.store.rounds() if n > self._logged]:
            self._logged = number
            try:
                logger.log(_round_values(run.store, number, lambda key: image_or_none(run, key)))
            except DamagedRound as error:
                rank_zero_warn(f"{error}; W&B does not show this round")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A round at which the guard stopped has no epoch."""
        self.on_train_epoch_start(trainer, pl_module)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the state after the last training, the figures of the run, and its files."""
        logger = wandb_run_of(trainer)
        if logger is None or not trainer.is_global_zero:
            return
        store = RunStore(trainer.default_root_dir)
        number, final = self._logged + 1, final_figures(store.summary())
        if state := state_scalars(store, number):
            # of the state that was exported, which need not be the last one
            logger.log({"round": number, **_named(state), **_swept(final)})
        logger.summarize({f"final/{name}": value for name, value in final.items()})
        logger.log_files("dataset", [store.folder / name for name in _DATA_SET])
        logger.log_files("adapter", [store.folder / "adapter"], copy=False)
        logger.log_files("report", [store.folder / "report.html"])

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the data set that `predict` wrote, and its figures."""
        logger = wandb_run_of(trainer)
        if logger is None or not trainer.is_global_zero:
            return
        store = RunStore(trainer.default_root_dir)
        logger.summarize({f"final/{name}": value for name, value in final_figures(store.summary()).items()})
        logger.log_files("dataset", [store.folder / name for name in _DATA_SET])


def _round_values(store: RunStore, number: int, read_image: Callable[[str], Image | None]) -> dict[str, Any]:
    """Everything that W&B shows of a round.

    Args:
        store: the run folder.
        number: of the round.
        read_image: the image of a key, None where it cannot be read.

    Raises:
        DamagedRound: a file is not what was written.
    """
    candidates = store.read_round(number).candidates
    # the one reading that is measured with another image too
    right = [(one, one.scores.answer) for one in candidates if one.scores is not None]
    histograms = {
        "i2c_right": [score for _, score in right],
        "i2c_other": [one.shuffled for one in candidates if one.shuffled is not None],
        "i2c_positives": [score for one, score in right if one.status == "positive"],
    }
    shown = {name: Histogram(values) for name, values in histograms.items() if values}
    table = candidates_table(candidates, store.reading(number), number, read_image)
    scalars = round_scalars(store, number)
    so_far = _swept(scalars) if number > 0 else {}
    return {"round": number, **_named(scalars), **_named(shown), **so_far, "candidates": table}


def candidates_table(
    candidates: Sequence[ScoredCandidate], reading: str, seed: int, read_image: Callable[[str], Image | None]
) -> Table:
    """The candidates with the highest and the lowest scores, and some at random, rejected ones among them.

    Args:
        candidates: of a round.
        reading: reading of S(I2C) that orders them.
        seed: of the random ones.
        read_image: the image of a key, None where it cannot be read.

    Returns:
        A row for each, with its image as a thumbnail; `truth` is a column where any of the candidates was judged.
    """
    known = any(one.verdict is not None for one in candidates)
    columns = ["shown as", "image", "question", "answer", "kind", "status", "rejected"]
    columns += [*(f"S(I2C) {name}" for name in READINGS), "mean_logp", "S(I2C) other image"]
    columns += [*(["truth"] if known else []), "image key"]
    rows = []
    for shown_as, one in _chosen(candidates, reading, seed):
        candidate, image = one.candidate, read_image(one.candidate.image)
        if image is not None:
            image = image.convert("RGB")
            image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        scores = {} if one.scores is None else asdict(one.scores)
        # of a text that could not be parsed, all of it
        texts = [candidate.question, candidate.answer or candidate.text, candidate.instruction.kind, one.status]
        readings = [finite(scores.get(name)) for name in READINGS_AND_RIVAL]
        row = [shown_as, image, *texts, candidate.rejected, *readings, finite(one.shuffled)]
        rows.append([*row, *([one.verdict] if known else []), candidate.image])
    return Table(columns, rows)


def _chosen(candidates: Sequence[ScoredCandidate], reading: str, seed: int) -> Iterator[tuple[str, ScoredCandidate]]:
    """Each candidate at most once, with why it is shown."""
    ranked = sorted(
        (one for one in candidates if one.scores is not None), key=lambda one: -float(getattr(one.scores, reading))
    )
    top = ranked[:_ROWS]
    bottom = ranked[len(top) :][-_ROWS:]
    shown = {id(one) for one in (*top, *bottom)}
    others = [one for one in candidates if id(one) not in shown]
    chosen = stream("wandb", seed).sample(others, min(_ROWS, len(others)))
    for shown_as, several in (("top", top), ("bottom", bottom), ("random", chosen)):
        yield from ((shown_as, one) for one in several)


def _swept(figures: Mapping[str, float]) -> dict[str, float]:
    """What sweeps optimise, if it is among the figures."""
    return {f"final/{_SWEPT}": figures[_SWEPT]} if _SWEPT in figures else {}


def _named(values: dict[str, Any]) -> dict[str, Any]:
    """The values as those of a round."""
    return {f"round/{name}": value for name, value in values.items()}
