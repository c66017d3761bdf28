"""Exports the data set: selected pairs about fresh images as LLaVA JSON and Parquet, with a data card."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lightning import Callback, LightningModule, Trainer

from callbacks.dataset_files import DroppedSentences, ImagesOfSet, VerdictCounts, labelled, write_set
from callbacks.order import Order
from lightning_c3l.distributed import collectives
from lightning_c3l.functional.i2c import reading_function
from lightning_c3l.records import Pooling, ScoredCandidate
from lightning_c3l.rounds.candidate_rows import CandidateRows
from lightning_c3l.rounds.dataset_card import WrittenSet, card_facts
from lightning_c3l.rounds.generation import ImageChunk
from lightning_c3l.rounds.run import RoundRun
from lightning_c3l.runs.trials import name_of_run
from lightning_c3l.selection.candidates import select_candidates
from lightning_c3l.selection.card import write_card
from lightning_c3l.selection.scoring_config import ScoringConfig, Unit, own_readings

# tell the draws after training, and those of `predict`, from those of the rounds
_FIT_STREAM, _PREDICT_STREAM = 1_299_709, 15_485_863


class DatasetExport(Callback):
    """Writes `vlit.json`, `vlit.parquet` and a data card after training, and for `predict`.

    Args:
        target_size: number of pairs to keep.
        reading: reading of S(I2C) to select by; on the command line that of `i2c` unless given.
        near_duplicate: Jaccard index from which the words of two pairs about one image make them duplicates.
        write: whether to make a data set after training; `predict` always makes one.
        pooling: how the values of tokens become those of an answer; that of `i2c` unless given.
        unit: `sentence` leaves out the sentences of an answer that the image does not support, by the same reading;
            that of `i2c` unless given.
        sentence_min: smallest value of a sentence that counts as supported; that of `i2c` unless given.
    """

    order = Order.EXPORT

    def __init__(
        self,
        target_size: int = 5000,
        reading: str | None = None,
        near_duplicate: float = 0.8,
        write: bool = True,
        pooling: Pooling | None = None,
        unit: Unit | None = None,
        sentence_min: float | None = None,
    ) -> None:
        reading = "answer" if reading is None else reading
        reading_function("export.reading", reading)
        if target_size < 1:
            raise ValueError(f"export.target_size must be at least 1, not {target_size}")
        if not 0 < near_duplicate <= 1:
            raise ValueError(f"export.near_duplicate must be above 0 and at most 1, not {near_duplicate}")
        self.target_size, self.reading, self.near_duplicate = target_size, reading, near_duplicate
        self.write = write
        try:
            self.scoring = ScoringConfig(
                None, pooling or "mean", unit or "answer", reading, sentence_min or 0.0, own_readings(reading)
            )
        except ValueError as error:
            raise ValueError(f"export.{error}") from error
        self._predicted: Sequence[ScoredCandidate] = ()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Generate about fresh images with the tuned model, which the starting model scores, and write the set."""
        if self.write and (run := RoundRun.of(trainer, pl_module)) is not None:
            candidates = self._candidates(run, "fresh", _FIT_STREAM)
            collectives.on_rank_zero(lambda: self._export(run, "fresh", candidates, "trained in this run"))

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, loader: int = 0
    ) -> None:
        """Generate about the images of `predict`, which are one batch."""
        if (run := RoundRun.of(trainer, pl_module)) is not None:
            self._predicted = self._candidates(run, "images", _PREDICT_STREAM)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the set."""
        if (run := RoundRun.of(trainer, pl_module)) is not None:
            loaded = trainer.ckpt_path
            # name, version and file: a card is published, and names no folders of this machine
            weights = f"weights of {'/'.join(Path(loaded).parts[-4:])}" if loaded else "as it was loaded"
            collectives.on_rank_zero(lambda: self._export(run, "images", self._predicted, weights))

    def _candidates(self, run: RoundRun, name: str, stream: int) -> Sequence[ScoredCandidate]:
        """Scored candidates about a source of images, on rank zero; every rank must call it."""
        source, keys = run.source(name)
        images, digests = ImageChunk(keys, source.read), run.data.digests(name)
        longest = run.data.longest_side
        return run.engine.final_records(run.store.folder, images, stream, digests, self.scoring, longest_side=longest)

    def _export(self, run: RoundRun, name: str, scored: Sequence[ScoredCandidate], weights: str) -> None:
        """Select and write the set, on rank zero.

        Args:
            run: parts of the run.
            name: source of the images.
            scored: all candidates.
            weights: which weights of the model wrote them, in words.
        """
        truth, folder = run.data.truth, run.store.folder
        selected = select_candidates(scored, self.target_size, self.reading, self.near_duplicate)
        images, verdicts = ImagesOfSet(folder, run.source(name)[0]), VerdictCounts({})
        if truth:
            # like against like: random pairs of the same kinds and answer lengths
            random, all_of_them = selected.random_control(run.engine.seed), np.ones_like(selected.chosen)
            masks = {"truth_rate": selected.chosen, "random_truth_rate": random, "written_truth_rate": all_of_them}
            verdicts = VerdictCounts(masks)
        made_by = {"seed": run.engine.seed, "model": run.engine.lvlm.fingerprint, **self.scoring.made_with()}
        dropped = DroppedSentences(selected.chosen)
        judged = labelled(scored, selected, truth.judge if truth else None)
        write_set(run.store, dropped.counted(judged), images, made_by, verdicts)
        pairs = int(selected.chosen.sum())
        figures: dict[str, Any] = {
            "pairs": pairs,
            "candidates": len(scored),
            "near_duplicates": int(selected.duplicates.sum()),
            "image_root": images.root,
            "kinds": selected.kinds(),
            **verdicts.rates(),
            **(dropped.figures() if self.scoring.unit == "sentence" else {}),
        }
        run.store.update_summary(dataset=figures)
        if pairs:
            written = self._written_set(run, weights, figures)
            write_card(folder / "vlit.json", card_facts(written, selected, run.store.summary()))
        shutil.rmtree(folder / "rounds" / "final" / "parts", ignore_errors=True)
        if isinstance(scored, CandidateRows):
            scored.file.unlink()
        print(f"{pairs} pairs in {folder / 'vlit.json'}, images relative to {images.root}", flush=True)

    def _written_set(self, run: RoundRun, weights: str, figures: dict[str, Any]) -> WrittenSet:
        """The set as its data card describes it."""
        folder, root, lvlm = Path(os.path.abspath(run.store.folder)), Path(figures["image_root"]), run.engine.lvlm
        return WrittenSet(
            run=f"{name_of_run(folder)}/{folder.name}",
            images="in the folder images beside this card" if root == folder / "images" else root.name,
            model=Path(lvlm.name).name if os.path.isabs(lvlm.name) else lvlm.name,
            weights=weights,
            fingerprint=lvlm.fingerprint,
            seed=run.engine.seed,
            reading=self.reading,
            target_size=self.target_size,
            figures=figures,
        )
