"""The experiment stage by stage: what is finished lies in the run folder, and the same command goes on from there."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments.two_by_two import sets, writers
from experiments.two_by_two.answering import EXAMS, FIGURES, Paper
from experiments.two_by_two.plan import BASE, NONE, SETS, ExperimentPlan
from lightning_c3l.evaluation.benchmarks.answers import answer_row
from lightning_c3l.evaluation.benchmarks.base import Answer
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from lightning_c3l.runs import lock, manifest
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic
from lightning_c3l.scenes.benchmarks import write_benchmarks
from lightning_c3l.scenes.recipe import recipe_hash
from lightning_c3l.scenes.shown import benchmark_scenes

# sums by image, `[I, P, K]`, of each figure
Counts = dict[str, NDArray[np.float64]]
# name, last file, work
Stage = tuple[str, Path, Callable[[], None]]
# a folder's last file: where it lies, the stage is finished
_COUNTS, _SETS = "counts.json", "sets.json"


class Experiment:
    """One run folder.

    Args:
        out: the folder.
        plan: sizes.

    Raises:
        ValueError: it was begun with other sizes, or is in use.
    """

    def __init__(self, out: Path, plan: ExperimentPlan) -> None:
        self.out, self.plan = out, plan
        out.mkdir(parents=True, exist_ok=True)
        try:
            lock.hold(out, {"verb": "two-by-two"})
        except ValueError:
            raise ValueError(
                f"{out}: is in use by another run: wait until it has ended, or choose another --out"
            ) from None
        manifest.begin(out / "manifest.json", plan.made_with(base=recipe_hash()), "choose another --out")
        self._papers: list[Paper] = []

    def run(self, seeds: Sequence[int]) -> None:
        """Do what is missing."""
        stages = self._stages(seeds)
        with tqdm(total=len(stages), desc="two-by-two", unit="stage") as bar:
            for name, done, work in stages:
                if not done.exists():
                    began = time.perf_counter()
                    work()
                    bar.write(f"{name}: {time.perf_counter() - began:.0f} s")
                bar.update()

    def counts(self, seed: int, model: str) -> Counts:
        """What a model's answers add to the figures; without tuning there is no seed."""
        kept = json.loads((self._folder(seed, model) / _COUNTS).read_text(encoding="utf-8"))
        return {figure: np.array(list(kept[figure].values()), dtype=np.float64) for figure in FIGURES}

    def sets(self, seed: int) -> dict[str, Any]:
        """Figures of the sets of a seed."""
        found: dict[str, Any] = json.loads((self._seed(seed) / _SETS).read_text(encoding="utf-8"))
        return found

    def _stages(self, seeds: Sequence[int]) -> list[Stage]:
        """Every stage, in order."""
        stages: list[Stage] = [(NONE, self._folder(0, NONE) / _COUNTS, partial(self._answer, 0, NONE))]
        for seed in seeds:
            folder = self._seed(seed)
            stages.append((f"seed {seed}, writers and sets", folder / _SETS, partial(self._write, seed)))
            stages += [
                (
                    f"seed {seed}, {name}",
                    self._folder(seed, name) / _COUNTS,
                    partial(self._answer, seed, name),
                )
                for name in SETS
            ]
        return stages

    def _write(self, seed: int) -> None:
        folder = self._seed(seed)
        writers.write(self.plan, seed, folder)
        write_json_atomic(folder / _SETS, sets.write_sets(self.plan, seed, folder))

    def _answer(self, seed: int, model: str) -> None:
        """Tune, ask everything, and keep answers and sums."""
        folder = self._folder(seed, model)
        lvlm = (
            HuggingFaceLVLM(BASE, lora=None, keep_reference=False)
            if model == NONE
            else sets.tuned(self.plan, seed, self._seed(seed), model)
        )
        sums = dict[str, Mapping[str, Any]]()
        for paper in self._all_papers():
            answers = paper.answers(lvlm)
            write_text_atomic(folder / f"{paper.name}.jsonl", _lines(paper, answers, model))
            sums |= paper.counts(answers)
        write_json_atomic(folder / _COUNTS, sums)

    def _all_papers(self) -> list[Paper]:
        if not self._papers:
            folder = self.out / "benchmarks"
            write_benchmarks(folder, benchmark_scenes(self.plan.scenes, writers.FOLLOW, seed=0))
            self._papers = [Paper(name, folder) for name in EXAMS]
        return self._papers

    def _seed(self, seed: int) -> Path:
        return self.out / f"seed-{seed}"

    def _folder(self, seed: int, model: str) -> Path:
        return self.out / NONE if model == NONE else self._seed(seed) / "models" / model


def _lines(paper: Paper, answers: Sequence[Answer], model: str) -> str:
    rows = (
        answer_row(question, answer, paper.prompt(question), model, False, paper.questions.digest)
        for question, answer in zip(paper.questions.questions, answers, strict=True)
    )
    return "".join(json.dumps(row) + "\n" for row in rows)
