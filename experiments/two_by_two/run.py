"""The experiment stage by stage: finished stages lie in the run folder, and the same command resumes from them."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.two_by_two.answering import CONFIGS, FIGURES, SceneBenchmark
from experiments.two_by_two.plan import BASE, NONE, SETS, ExperimentPlan
from experiments.two_by_two.sets import set_file, write_sets
from experiments.two_by_two.tuning import tuned_lvlm
from experiments.two_by_two.writers import FOLLOW, write_pairs
from lightning_c3l.distributed.messages import inform
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.report.progress import clock_time, stage
from lightning_c3l.runs import lock, manifest
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic
from lightning_c3l.scenes.benchmark_scenes import benchmark_scenes
from lightning_c3l.scenes.benchmarks import write_benchmarks
from lightning_c3l.scenes.recipe import BASES

# a folder's last file: if it exists, the stage is finished
_COUNTS, _SETS = "counts.json", "sets.json"


class Experiment:
    """One run folder.

    Args:
        out: the folder.
        plan: sizes.

    Raises:
        ValueError: it was created with other sizes, or is in use.
    """

    def __init__(self, out: Path, plan: ExperimentPlan) -> None:
        self.out, self.plan = out, plan
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(out, {"verb": "two-by-two"})
        except ValueError:
            raise ValueError(
                f"{out}: is in use by another run: wait until it has ended, or choose another --out"
            ) from None
        manifest.begin(out / "manifest.json", {**asdict(plan), "base": BASES["corners"].hash()}, "choose another --out")

    def run(self, seeds: Sequence[int]) -> None:
        """Run all stages that are not finished."""
        # name, last file, work
        stages = list[tuple[str, Path, Callable[[], None]]]()
        stages.append((NONE, self.folder(0, NONE) / _COUNTS, partial(self._answer, 0, NONE)))
        for seed in seeds:
            stages.append(
                (f"seed {seed}, writers and sets", self.seed_folder(seed) / _SETS, partial(self._write, seed))
            )
            for name in SETS:
                file = self.folder(seed, name) / _COUNTS
                stages.append((f"seed {seed}, {name}", file, partial(self._answer, seed, name)))
        with stage("two-by-two", "stages", len(stages)) as progress:
            for name, file, work in stages:
                if not file.exists():
                    start = time.perf_counter()
                    work()
                    inform(f"{name}: {clock_time(time.perf_counter() - start)}")
                progress.update()

    def seed_folder(self, seed: int) -> Path:
        """Folder of everything that depends on a seed."""
        return self.out / f"seed-{seed}"

    def folder(self, seed: int, model: str) -> Path:
        """Folder of a model's answers; without tuning there is no seed."""
        return self.out / NONE if model == NONE else self.seed_folder(seed) / "models" / model

    def counts(self, seed: int, model: str) -> dict[str, NDArray[np.float64]]:
        """What a model's answers add to the sums of each figure, `[I, P, K]` for I images."""
        found = json.loads((self.folder(seed, model) / _COUNTS).read_text(encoding="utf-8"))
        return {figure: np.array(list(found[figure].values()), dtype=np.float64) for figure in FIGURES}

    def sets(self, seed: int) -> dict[str, Any]:
        """Figures of the sets of a seed."""
        found: dict[str, Any] = json.loads((self.seed_folder(seed) / _SETS).read_text(encoding="utf-8"))
        return found

    def _write(self, seed: int) -> None:
        folder = self.seed_folder(seed)
        write_pairs(self.plan, seed, folder)
        write_json_atomic(folder / _SETS, write_sets(self.plan, seed, folder))

    def _answer(self, seed: int, model: str) -> None:
        """Tune, answer all benchmarks, and write answers and sums."""
        if model == NONE:
            lvlm = HuggingFaceLVLM(BASE, lora=None, keep_reference=False)
        else:
            folder = self.seed_folder(seed)
            lvlm = tuned_lvlm(set_file(folder, model), folder, self.plan.epochs, seed)
        sums = dict[str, Any]()
        for benchmark in self._benchmarks:
            answers = benchmark.answers(lvlm)
            rows = (json.dumps(row) + "\n" for row in benchmark.rows(answers, model))
            write_text_atomic(self.folder(seed, model) / f"{benchmark.name}.jsonl", "".join(rows))
            sums |= benchmark.counts(answers)
        write_json_atomic(self.folder(seed, model) / _COUNTS, sums)

    @cached_property
    def _benchmarks(self) -> list[SceneBenchmark]:
        folder = self.out / "benchmarks"
        write_benchmarks(folder, benchmark_scenes(self.plan.scenes, FOLLOW, seed=0))
        return [SceneBenchmark(name, folder) for name in CONFIGS]
