"""The written data set: kept pairs as LLaVA JSON and Parquet, from fresh images."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info

from data_modules.formats import write_llava_json, write_parquet
from data_modules.images.sources import EncodedImages
from lightning_c3l.distributed import collectives
from lightning_c3l.records import READINGS, ScoredCandidate, VLITRecord
from lightning_c3l.rounds.figures import judged, truth_rate
from lightning_c3l.rounds.protocols import ImageSource, is_round_run
from lightning_c3l.rounds.store import RunStore
from lightning_c3l.runs.atomic import atomic_path
from lightning_c3l.selection.candidates import CandidateSelection, random_candidates, select_candidates


class DatasetExport(Callback):
    """Writes `vlit.json` and `vlit.parquet` after training, and for `predict`.

    Args:
        target_size: pairs to keep.
        reading: reading of S(I2C) that decides; on the command line that of `i2c` unless given.
        near_duplicate: pairs of one image whose words overlap so far (Jaccard) count as the same.
    """

    def __init__(self, target_size: int = 5000, reading: str | None = None, near_duplicate: float = 0.8) -> None:
        reading = "answer" if reading is None else reading
        if reading not in READINGS:
            raise ValueError(f"export.reading must be one of {', '.join(READINGS)}, not {reading!r}")
        if target_size < 1:
            raise ValueError(f"export.target_size must be at least 1, not {target_size}")
        if not 0 < near_duplicate <= 1:
            raise ValueError(f"export.near_duplicate must be above 0 and at most 1, not {near_duplicate}")
        self.target_size, self.reading, self.near_duplicate = target_size, reading, near_duplicate
        self._written: list[ScoredCandidate] = []

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write on fresh images with the tuned model; the starting model scores."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        if not is_round_run(pl_module, data):
            return
        module: Any = pl_module
        source, keys = data.source("fresh")
        folder = trainer.default_root_dir
        more = {"digests": data.digests("fresh"), "longest_side": data.longest_side}
        written = module.final_records(folder, keys, source.read, 1_299_709, **more)
        collectives.by_first(lambda: self._export(trainer, module, source, written))

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, loader: int = 0
    ) -> None:
        """Collect what `predict` wrote."""
        self._written.extend(outputs.candidates)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same data set from the images of `predict`."""
        source, _ = trainer.datamodule.source("images")  # type: ignore[attr-defined]
        collectives.by_first(lambda: self._export(trainer, pl_module, source, self._written))
        self._written = []

    def _export(self, trainer: Trainer, module: Any, source: ImageSource, scored: Sequence[ScoredCandidate]) -> None:
        truth = trainer.datamodule.truth  # type: ignore[attr-defined]
        scored = judged(scored, truth.judge if truth else None)
        usable = [one for one in scored if one.scores]
        selection = select_candidates(usable, self.target_size, self.reading, self.near_duplicate)
        chosen = selection.chosen
        folder = Path(trainer.default_root_dir)
        root = self._images(folder, source, chosen)
        records = [self._record(number, one, module) for number, one in enumerate(chosen)]
        write_llava_json(folder / "vlit.json", records, root)
        write_parquet(folder / "vlit.parquet", records)
        store = RunStore(folder)
        store.write_candidates("vlit-candidates", self._with_status(scored, selection))
        figures: dict[str, Any] = {
            "pairs": len(records),
            "candidates": len(scored),
            "near_duplicates": len(selection.duplicates),
            "image_root": root,
            "kinds": {k: sum(r.kind == k for r in records) for k in sorted({r.kind for r in records})},
        }
        if truth:
            # like against like: random pairs of the same kinds and answer lengths
            random = random_candidates(selection.distinct, chosen, module.seed)
            figures |= {
                "truth_rate": truth_rate(chosen),
                "random_truth_rate": truth_rate(random),
                "written_truth_rate": truth_rate(scored),
            }
        store.update_summary(dataset=figures)
        shutil.rmtree(folder / "rounds" / "final" / "parts", ignore_errors=True)
        rank_zero_info(f"{len(records)} pairs in {folder / 'vlit.json'}, images relative to {root}")

    def _images(self, folder: Path, source: ImageSource, chosen: Sequence[ScoredCandidate]) -> str:
        """Root of the image paths; pictures that are no files of their own are written below the run folder."""
        if source.root is not None:
            # the working folder may be another one when the data set is read
            return os.path.abspath(source.root)
        for key in sorted({one.candidate.image for one in chosen}):
            with atomic_path(folder / "images" / key) as path:
                if isinstance(source, EncodedImages):
                    _copy(source.raw(key), path)
                else:
                    source.read(key).save(path)
        return os.path.abspath(folder / "images")

    def _record(self, number: int, one: ScoredCandidate, module: Any) -> VLITRecord:
        candidate = one.candidate
        provenance = {
            "round": "final",
            "prompt": candidate.instruction.text,
            "sample": candidate.sample,
            "seed": module.seed,
            "model": module.lvlm.fingerprint,
        }
        return VLITRecord.of(number, one, provenance)

    def _with_status(self, scored: Sequence[ScoredCandidate], selection: CandidateSelection) -> list[ScoredCandidate]:
        status = {id(one): "duplicate" for one in selection.duplicates} | {id(one): "kept" for one in selection.chosen}
        return [
            replace(one, status=status.get(id(one), "rejected" if one.scores is None else "left out")) for one in scored
        ]


def _copy(file: bytes | Path, path: Path) -> None:
    """The very file, not a picture that was decoded, maybe shrunk, and encoded again."""
    if isinstance(file, Path):
        shutil.copyfile(file, path)
    else:
        path.write_bytes(file)
