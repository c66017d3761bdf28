"""A callback that measures the model of a trial: what it writes, answers, and makes of beginnings."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from callbacks.exposure_bias import sample_answers
from callbacks.order import Order
from data_modules.scenes import parse_scenes
from experiments.recipe.protocol import MeasureConfig
from experiments.recipe.sums import OTHER, Answered, answering_sums, reference_sums, writing_sums
from lightning_c3l.lvlm.base import Sampling
from lightning_c3l.report.progress import stage
from lightning_c3l.rounds.engine import RoundEngine
from lightning_c3l.rounds.generation import ImageChunk, Read
from lightning_c3l.rounds.run import RoundRun
from lightning_c3l.rounds.templates import load_templates
from lightning_c3l.rounds.truth import Asked
from lightning_c3l.runs.atomic import write_json_atomic

# in the run folder
MEASURED = "measured.json"
# tells the draws from those of rounds
_STREAM = 32_452_843


class TrialMeasures(Callback):
    """Writes `measured.json` when training has ended: sums of each figure by image, and CPU seconds by part.

    One process measures; it is made for small models, of which two are trained at a time.

    Args:
        images: scenes that no training image shows, as `data.images`.
        config: how the model is measured.
    """

    order = Order.COMPARISON

    def __init__(self, images: str, config: MeasureConfig = MeasureConfig()) -> None:  # noqa: B008  # frozen
        self.images, self.config = images, config
        self._seconds = {"before": 0.0, "training": 0.0}
        self._since = 0.0

    def state_dict(self) -> dict[str, Any]:
        """What an earlier start of this run has spent."""
        return {"seconds": self._seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it back."""
        self._seconds = state_dict["seconds"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The round is made: imports, loading and the round are behind."""
        self._seconds["before"] += time.process_time()
        self._since = time.process_time()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """What other rounds take is no training."""
        self._since = time.process_time()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count a step."""
        now = time.process_time()
        self._seconds["training"] += now - self._since
        self._since = now

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, and write the file.

        Raises:
            ValueError: the run has no rounds, or its images no known truth.
        """
        run = RoundRun.of(trainer, pl_module)
        if run is None or run.data.truth is None:
            raise ValueError("TrialMeasures: needs rounds on images with data.truth")
        source, truth = parse_scenes(self.images), run.data.truth
        keys, own = list(source.keys()), run.module.writing
        sampling = Sampling(self.config.samples, self.config.max_new_tokens, self.config.temperature)
        writing = replace(own, per_image=None, sampling=sampling, batch_size=self.config.batch_size)
        engine = RoundEngine(run.module.lvlm, writing, run.module.seed, run.module.inference_context)
        asked, clock = truth.questions(keys), _Clock(dict(self._seconds))
        with engine.generating():
            written = engine.generate(ImageChunk(keys, source.read), engine.seed * 1009 + _STREAM, "trial: write")
            clock.note("writing")
            answers = answer(engine, asked, source.read, self.config)
            clock.note("answering")
            continued = continue_beginnings(engine, asked, source.read)
            clock.note("continuing")
        kinds = list(dict.fromkeys(one.kind for one in load_templates(writing.templates)))
        sums = writing_sums(written, truth, kinds) | answering_sums(answers, truth) | reference_sums(continued, truth)
        found = {"images": keys, "kinds": [*kinds, OTHER], "sums": sums, "cpu_seconds": clock.finish()}
        write_json_atomic(Path(trainer.default_root_dir) / MEASURED, found)


class _Clock:
    """CPU seconds of this process by part."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds, self._since = seconds, time.process_time()

    def note(self, part: str) -> None:
        now = time.process_time()
        self._seconds[part], self._since = now - self._since, now

    def finish(self) -> dict[str, float]:
        return {name: round(value, 2) for name, value in {**self._seconds, "all": time.process_time()}.items()}


def answer(engine: RoundEngine, asked: Sequence[Asked], read: Read, config: MeasureConfig) -> list[Answered]:
    """The likeliest answer to each question; those of a kind are asked together, since they are alike long."""
    ordered = sorted(asked, key=lambda one: one.kind)
    greedy, size, out = Sampling(1, config.answer_tokens, 0.0), engine.requests_at_once, list[Answered]()
    with stage("trial: answer", "questions", len(ordered)) as progress:
        for start in range(0, len(ordered), size):
            batch = ordered[start : start + size]
            texts = engine.answers([one.image for one in batch], [one.question for one in batch], read, greedy)
            out += [Answered(one, text) for one, text in zip(batch, texts, strict=True)]
            progress.update(len(batch))
    return out


def continue_beginnings(engine: RoundEngine, asked: Sequence[Asked], read: Read) -> list[Answered]:
    """A sampled answer behind each question of the truth, where the model is asked to write a pair of its kind."""
    instructions = {one.kind: one.text for one in load_templates(engine.config.templates)}
    ordered = sorted((one for one in asked if one.kind in instructions), key=lambda one: one.kind)
    texts = sample_answers(engine, ordered, instructions, read, engine.seed * 1009 + _STREAM, "trial: continue")
    return [Answered(one, text) for one, text in zip(ordered, texts, strict=True)]
