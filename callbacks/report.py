"""summary.json and report.html, from what the run folder holds."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lightning import Callback, LightningModule, Trainer
from PIL.Image import Image

from callbacks.order import Order
from callbacks.wandb_run import wandb_run_of
from data_modules.loading.decoding import UnreadableImage
from lightning_c3l.distributed import collectives
from lightning_c3l.report.headline import headline
from lightning_c3l.report.terminal import closing, console, rounds_table
from lightning_c3l.rounds.figures import reading_auroc
from lightning_c3l.rounds.run import RoundRun
from lightning_c3l.rounds.run_page import read_rounds, write_page
from lightning_c3l.runs.trials import name_of_run


class RunReport(Callback):
    """Writes the report when a run ends well, and shows the rounds in the terminal."""

    order = Order.REPORT

    def __init__(self) -> None:
        self._began, self._before = time.perf_counter(), 0.0

    def state_dict(self) -> dict[str, Any]:
        """Seconds that the run has taken so far, in all of its starts."""
        return {"seconds": self._seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take them back."""
        self._before = state_dict["seconds"]

    def _seconds(self) -> float:
        return round(self._before + time.perf_counter() - self._began, 1)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report all rounds; rank zero writes, the others wait for it."""
        if (run := RoundRun.of(trainer, pl_module)) is not None:
            # the address of W&B's run, or the command that uploads it
            where = logger.where if (logger := wandb_run_of(trainer)) is not None else None
            collectives.on_rank_zero(lambda: self._report(run, where))

    def _report(self, run: RoundRun, logged: str | None) -> None:
        store, lvlm = run.store, run.engine.lvlm
        written, figures = read_rounds(store)
        known = run.data.truth is not None and 0 in written
        share = engine_share(figures)
        store.update_summary(
            run={**store.summary().get("run", {}), "wandb": logged},
            name=name_of_run(store.folder),
            model=f"{lvlm.name} ({lvlm.fingerprint})",
            seed=run.engine.seed,
            rounds=figures,
            i2c_auroc=reading_auroc(written[0]) if known else {},
            rejected_images=len(run.data.rejected),
            seconds_total=self._seconds(),
            engine_share=share,
        )
        # intervals take time, which a list of many runs should not need
        store.update_summary(verdict=headline(store.summary()).verdict)
        summary = store.summary()
        write_page(store.folder, summary, written, partial(image_or_none, run))
        out = console()
        out.print(rounds_table(summary))
        out.print(closing(summary, store.folder), highlight=False)


def engine_share(rounds: Sequence[Mapping[str, Any]]) -> float | None:
    """Part of the rounds' time that went into storing and gathering; None where none was measured.

    What a process waits for others does not count: it has nothing to do then.

    Args:
        rounds: figures of each round; `seconds` by stage, the engine's own under `engine`.
    """
    spent = [figures.get("seconds", {}) for figures in rounds]
    whole: float = sum(seconds for one in spent for stage, seconds in one.items() if stage != "wait")
    if whole <= 0 or not any("engine" in one for one in spent):
        return None
    engine: float = sum(one.get("engine", 0.0) for one in spent)
    return round(engine / whole, 5)


def image_or_none(run: RoundRun, key: str, source: str = "images") -> Image | None:
    """The image of a key; None if it has gone since."""
    try:
        return run.source(source)[0].read(key)
    except (UnreadableImage, ValueError):
        return None
