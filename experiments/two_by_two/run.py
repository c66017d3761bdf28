"""The stages of the experiment and the files that they leave in its run folder."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.two_by_two.answering import CONFIGS, FIGURES, SceneBenchmark
from experiments.two_by_two.plan import NONE, ExperimentPlan
from experiments.two_by_two.sets import set_file, write_sets
from experiments.two_by_two.tuning import tuned_lvlm
from experiments.two_by_two.writers import FOLLOW, write_pairs
from lightning_c3l.distributed.messages import inform
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.report.progress import clock_time
from lightning_c3l.runs import lock, manifest
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic
from lightning_c3l.scenes.benchmark_scenes import benchmark_scenes
from lightning_c3l.scenes.benchmarks import write_benchmarks
from lightning_c3l.scenes.recipe import BASES
from lightning_c3l.scenes.worlds import WORLDS

# the stage of a seed before its models, which are stages by their names
WRITERS = "writers"
# a stage's last file: if it exists, the stage is finished
_COUNTS, _SETS = "counts.json", "sets.json"
_MANIFEST = "manifest.json"


class Experiment:
    """One run folder.

    Args:
        out: the folder.
        plan: world and sizes.
    """

    def __init__(self, out: Path, plan: ExperimentPlan) -> None:
        self.out, self.plan = out, plan

    @classmethod
    def begin(cls, out: Path, plan: ExperimentPlan) -> "Experiment":
        """Create a run folder, or go on with it; this process holds its lock then.

        Raises:
            ValueError: it was created with other sizes, or is in use.
        """
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire(out, {"verb": "two-by-two"}, "--out")
        made_with = {**asdict(plan), "base": BASES[plan.world].hash()}
        manifest.begin(out / _MANIFEST, made_with, "choose another --out")
        write_benchmarks(out / "benchmarks", benchmark_scenes(WORLDS[plan.world], plan.scenes, FOLLOW, seed=0))
        return cls(out, plan)

    @classmethod
    def of_folder(cls, out: Path) -> "Experiment":
        """The experiment that a run folder was created for."""
        made_with = manifest.read(out / _MANIFEST)
        return cls(out, ExperimentPlan(**{one.name: made_with[one.name] for one in fields(ExperimentPlan)}))

    def is_made(self, seed: int, name: str) -> bool:
        """Whether a stage is finished: that of the writers, or a model."""
        return (self.seed_folder(seed) / _SETS if name == WRITERS else self.folder(seed, name) / _COUNTS).exists()

    def make(self, seed: int, names: Sequence[str]) -> None:
        """Run those of these stages that are not finished."""
        for name in names:
            if self.is_made(seed, name):
                continue
            start, before = time.perf_counter(), time.process_time()
            if name == WRITERS:
                write_pairs(self.plan, seed, self.seed_folder(seed))
                write_json_atomic(self.seed_folder(seed) / _SETS, write_sets(self.plan, seed, self.seed_folder(seed)))
            else:
                self._answer(seed, name)
            cpu = time.process_time() - before
            inform(f"seed {seed}, {name}: {clock_time(time.perf_counter() - start)}, {cpu:.0f} CPU seconds")

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

    def _answer(self, seed: int, model: str) -> None:
        """Tune, answer all benchmarks, and write answers and sums."""
        if model == NONE:
            lvlm = HuggingFaceLVLM(self.plan.base, lora=None, keep_reference=False)
        else:
            folder = self.seed_folder(seed)
            lvlm = tuned_lvlm(self.plan.base, set_file(folder, model), folder, self.plan.epochs, seed)
        sums = dict[str, Any]()
        for benchmark in self._benchmarks:
            answers = benchmark.answers(lvlm)
            rows = (json.dumps(row) + "\n" for row in benchmark.rows(answers, model))
            write_text_atomic(self.folder(seed, model) / f"{benchmark.name}.jsonl", "".join(rows))
            sums |= benchmark.counts(answers)
        write_json_atomic(self.folder(seed, model) / _COUNTS, sums)

    @cached_property
    def _benchmarks(self) -> list[SceneBenchmark]:
        return [SceneBenchmark(name, self.out / "benchmarks") for name in CONFIGS]
