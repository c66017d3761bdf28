"""Exports the data set: selected pairs about fresh images as LLaVA JSON and Parquet, with a data card."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from callbacks.order import Order
from data_modules.formats import write_llava_json, write_parquet
from data_modules.images.sources import EncodedImages
from lightning_c3l.distributed import collectives
from lightning_c3l.records import READINGS, ScoredCandidate, VLITRecord
from lightning_c3l.rounds.dataset_card import WrittenSet, card_facts
from lightning_c3l.rounds.figures import judged, truth_rate
from lightning_c3l.rounds.generation import ImageChunk
from lightning_c3l.rounds.protocols import ImageSource
from lightning_c3l.rounds.run import RoundRun
from lightning_c3l.runs.atomic import atomic_path
from lightning_c3l.runs.trials import name_of_run
from lightning_c3l.selection.candidates import random_candidates, select_candidates
from lightning_c3l.selection.card import write_card

# tell the draws after training, and those of `predict`, from those of the rounds
_FIT_STREAM, _PREDICT_STREAM = 1_299_709, 15_485_863


class DatasetExport(Callback):
    """Writes `vlit.json`, `vlit.parquet` and a data card after training, and for `predict`.

    Args:
        target_size: number of pairs to keep.
        reading: reading of S(I2C) to select by; on the command line that of `i2c` unless given.
        near_duplicate: pairs about one image whose words overlap this much (Jaccard) count as duplicates.
    """

    order = Order.EXPORT

    def __init__(self, target_size: int = 5000, reading: str | None = None, near_duplicate: float = 0.8) -> None:
        reading = "answer" if reading is None else reading
        if reading not in READINGS:
            raise ValueError(f"export.reading must be one of {', '.join(READINGS)}, not {reading!r}")
        if target_size < 1:
            raise ValueError(f"export.target_size must be at least 1, not {target_size}")
        if not 0 < near_duplicate <= 1:
            raise ValueError(f"export.near_duplicate must be above 0 and at most 1, not {near_duplicate}")
        self.target_size, self.reading, self.near_duplicate = target_size, reading, near_duplicate
        self._predicted: Sequence[ScoredCandidate] = ()

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Generate about fresh images with the tuned model, which the starting model scores, and write the set."""
        if (run := RoundRun.of(trainer, pl_module)) is not None:
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
        return run.engine.final_records(run.store.folder, images, stream, digests, longest_side=run.data.longest_side)

    def _export(self, run: RoundRun, name: str, scored: Sequence[ScoredCandidate], weights: str) -> None:
        """Select and write the set, on rank zero.

        Args:
            run: parts of the run.
            name: source of the images.
            scored: all candidates.
            weights: which weights of the model wrote them, in words.
        """
        truth, folder = run.data.truth, run.store.folder
        scored = judged(scored, truth.judge if truth else None)
        selection = select_candidates(scored, self.target_size, self.reading, self.near_duplicate)
        chosen = selection.chosen
        root = self._images(folder, run.source(name)[0], chosen)
        made_by = {"seed": run.engine.seed, "model": run.engine.lvlm.fingerprint}
        records = [
            VLITRecord.of(
                index,
                one,
                {
                    "round": "final",
                    "prompt": one.candidate.instruction.text,
                    "sample": one.candidate.sample,
                    **made_by,
                },
            )
            for index, one in enumerate(chosen)
        ]
        write_llava_json(folder / "vlit.json", records, root)
        write_parquet(folder / "vlit.parquet", records)
        status = {id(one): "duplicate" for one in selection.duplicates} | {id(one): "kept" for one in chosen}
        left = [
            replace(one, status=status.get(id(one), "rejected" if one.scores is None else "left out")) for one in scored
        ]
        run.store.write_candidates("vlit-candidates", left)
        figures: dict[str, Any] = {
            "pairs": len(records),
            "candidates": len(scored),
            "near_duplicates": len(selection.duplicates),
            "image_root": root,
            "kinds": {k: sum(r.kind == k for r in records) for k in sorted({r.kind for r in records})},
        }
        if truth:
            # like against like: random pairs of the same kinds and answer lengths
            random = random_candidates(selection.distinct, chosen, run.engine.seed)
            figures |= {
                "truth_rate": truth_rate(chosen),
                "random_truth_rate": truth_rate(random),
                "written_truth_rate": truth_rate(scored),
            }
        run.store.update_summary(dataset=figures)
        if chosen:
            written = self._written_set(run, weights, figures)
            write_card(folder / "vlit.json", card_facts(written, selection, run.store.summary()))
        shutil.rmtree(folder / "rounds" / "final" / "parts", ignore_errors=True)
        (folder / "rounds" / "final" / "candidates.jsonl").unlink(missing_ok=True)
        print(f"{len(records)} pairs in {folder / 'vlit.json'}, images relative to {root}", flush=True)

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

    def _images(self, folder: Path, source: ImageSource, chosen: Sequence[ScoredCandidate]) -> str:
        """Root of the image paths; images that are not files of their own are written below the run folder."""
        if source.root is not None:
            # the working folder may be another one when the data set is read
            return os.path.abspath(source.root)
        for key in sorted({one.candidate.image for one in chosen}):
            with atomic_path(folder / "images" / key) as path:
                if not isinstance(source, EncodedImages):
                    source.read(key).save(path)
                # the file itself, not an image that was decoded, perhaps shrunk, and encoded again
                elif isinstance(file := source.raw(key), Path):
                    shutil.copyfile(file, path)
                else:
                    path.write_bytes(file)
        return os.path.abspath(folder / "images")
