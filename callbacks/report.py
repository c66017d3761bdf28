"""summary.json and report.html, from what the run folder holds."""

import time
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from PIL.Image import Image
from rich.console import Console

from callbacks.protocols import is_round_run
from data_modules.images import UnreadableImage
from lightning_c3l.atomic import write_text_atomic
from lightning_c3l.metrics.rounds import reading_auroc
from lightning_c3l.report import render_report, rounds_table
from lightning_c3l.store import RunStore


class RunReport(Callback):
    """Writes the report when a run ends well, and shows the rounds in the terminal."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """All rounds."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if not is_round_run(pl_module, data) or not trainer.is_global_zero:
            return
        module: Any = pl_module
        store = RunStore(trainer.default_root_dir)
        rounds = {number: store.read_round(number) for number in store.rounds()}
        known = data.truth is not None and 0 in rounds
        store.update_summary(
            name=str(Path(trainer.default_root_dir).parent.name),
            model=f"{module.lvlm.path} ({module.lvlm.fingerprint})",
            seed=module.seed,
            rounds=[one.figures for one in rounds.values()],
            i2c_auroc=reading_auroc(rounds[0].candidates) if known else {},
            rejected_images=len(data.rejected),
            seconds_total=round(time.perf_counter() - self._began, 1),
        )
        summary = store.summary()
        written = {number: one.candidates for number, one in rounds.items()}
        page = render_report(summary, written, lambda key: _picture(data, key))
        write_text_atomic(store.folder / "report.html", page)
        console = Console()
        console.print(rounds_table(summary))
        console.print(f"report: {store.folder / 'report.html'}", markup=False, highlight=False)


def _picture(data: Any, key: str) -> Image | None:
    """The picture of a key, None where it has gone since."""
    source, _ = data.source("images")
    try:
        return source.read(key)  # type: ignore[no-any-return]
    except (UnreadableImage, ValueError):
        return None
