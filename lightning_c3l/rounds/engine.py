"""The round engine: an LVLM generates and scores candidates about images, on any number of processes.

A kill at any moment loses nothing that was finished. Images are split into parts that do not depend on the number of
processes, which take them in turn. Finished rows are appended to this rank's row file at once (`journal`,
`runs.row_jobs`), and rank zero merges all rows as a stream (`merging`): the set is the same whichever process made
which part of it, and however often it was interrupted. No process holds more than a part in memory.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from lightning.pytorch.profilers import PassThroughProfiler, Profiler
from PIL import Image as Pictures
from PIL.Image import Image
from torch import nn

from lightning_c3l.distributed import collectives
from lightning_c3l.lvlm.base import DESCRIBE, GenerationRequest, InferenceLVLM, Sampling, TextGenerator
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.external import ExternalGenerator, ServableLVLM
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate
from lightning_c3l.report.progress import stage
from lightning_c3l.rounds.answers import AnswerGenerator, Scorer, positives
from lightning_c3l.rounds.candidate_rows import write_candidate_rows
from lightning_c3l.rounds.generation import (
    Completions,
    GenerationConfig,
    ImageChunk,
    Read,
    generate_candidates,
    iter_image_chunks,
    spans,
)
from lightning_c3l.rounds.journal import Journal
from lightning_c3l.rounds.merging import MergedCandidates
from lightning_c3l.rounds.scoring import Known, score_candidates
from lightning_c3l.rounds.stage_seconds import timed
from lightning_c3l.rounds.tasks import Task, assigned_instructions, begin_task, digest, layout, resumed_keys, row_job
from lightning_c3l.rounds.templates import load_templates
from lightning_c3l.runs.digests import trained_digest
from lightning_c3l.runs.row_files import Row
from lightning_c3l.runs.row_jobs import RowJob
from lightning_c3l.selection.pseudo_labels import PseudoLabelConfig
from lightning_c3l.selection.scoring_config import ScoringConfig

_GONE = "gone or broken since the round was begun"


@dataclass(frozen=True)
class Records:
    """What came of a task.

    Attributes:
        candidates: by image, instruction and sample, each image's further answers behind them; read anew each time.
        descriptions: the model's own description of each image, if the task asks for them.
        refused: error message of each image that the LVLM does not support, or that has gone.
        release: frees the memory that reading the candidates needs; they cannot be read afterwards.
    """

    candidates: Iterable[ScoredCandidate] = ()
    descriptions: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    release: Callable[[], object] = field(default=lambda: None, compare=False)


class RoundEngine:
    """Generates and scores candidates with an LVLM as it is now.

    Args:
        lvlm: generates and scores; one that cannot be trained is its own reference.
        config: options of generation and scoring.
        seed: all random draws derive from it.
        inference: returns a context in which the LVLM can be used outside of training steps (device, precision, eval
            mode, whole weights); all ranks enter it together. Default: none is needed.
        weights: the module whose trained weights the records depend on; `lvlm.network` unless given.
        external: generates in the place of `lvlm`, with its weights.

    Attributes:
        generator: generates the texts; only inside `generating()`.
    """

    def __init__(
        self,
        lvlm: InferenceLVLM,
        config: GenerationConfig,
        seed: int = 0,
        inference: Callable[[], AbstractContextManager[None]] = nullcontext,
        weights: nn.Module | None = None,
        external: ExternalGenerator | None = None,
    ) -> None:
        self.lvlm, self.config, self.seed, self.inference = lvlm, config, seed, inference
        self._external = external
        self.generator: TextGenerator = lvlm if external is None else external
        self._weights = lvlm.network if weights is None else weights
        self._reference: Callable[[], AbstractContextManager[None]] = getattr(lvlm, "reference", nullcontext)
        # halved once for all calls if memory runs out
        size = config.batch_size if external is None else external.requests_at_once
        self._size = BatchSize(size, "writing.batch_size")
        self._score_size = BatchSize(config.score_batch_size, "writing.score_batch_size")
        # the scorer answers in this process, whoever generates the candidates
        answer_size = BatchSize(config.batch_size, "writing.batch_size")
        self._answering = AnswerGenerator(lvlm, self._scoring, config.sampling, answer_size)

    @contextmanager
    def generating(self) -> Iterator[None]:
        """Within this context, texts can be generated; all ranks enter and leave it together."""
        with self.inference():
            if self._external is None:
                yield
                return
            with self._external.serving(cast(ServableLVLM, self.lvlm)):
                yield

    @property
    def generates_first(self) -> bool:
        """Whether everything is generated before anything is scored.

        An inference server is kept busy by many requests at once, and may share its GPU with scoring. An LVLM that
        generates itself keeps the features of a few images for both.
        """
        return self._external is not None

    @property
    def requests_at_once(self) -> int:
        """Number of requests that are worth making together."""
        return self._size.size

    def generate(
        self, images: ImageChunk, seed: int, progress: str = "generate", completions: Completions | None = None
    ) -> list[Candidate]:
        """Candidates about images; the arguments are those of `generate_candidates`.

        Where texts are missing, inside `generating()`.
        """
        with self.inference():
            return generate_candidates(self.generator, images, self.config, seed, progress, self._size, completions)

    def score(
        self,
        candidates: Sequence[Candidate],
        read: Read,
        seed: int | None,
        scorer: Scorer = "reference",
        progress: str = "score",
        known: Known | None = None,
        config: ScoringConfig = ScoringConfig(),  # noqa: B008  # frozen
    ) -> list[ScoredCandidate]:
        """Scores of candidates; the arguments are those of `score_candidates`.

        Args:
            candidates: any.
            read: returns the image of a key.
            seed: of the shuffled-image control; None leaves it out.
            scorer: "reference" for the LVLM as it was before training, "current" for the LVLM as it is now.
            progress: name of the stage.
            known: scores that exist already.
            config: how answers are scored; `seed` takes the place of its own.
        """
        config = replace(config, shuffle_seed=seed)
        with self._scoring(scorer):
            return score_candidates(self.lvlm, candidates, read, self._score_size, config, progress, known)

    @contextmanager
    def _scoring(self, scorer: Scorer) -> Iterator[None]:
        """Within this context, the LVLM has the weights that score."""
        with self.inference(), self._reference() if scorer == "reference" else nullcontext():
            yield

    def answers(self, keys: Sequence[str], questions: Sequence[str], read: Read, sampling: Sampling) -> list[str]:
        """One answer to each question; inside `generating()`.

        Args:
            keys: of the image that each question is about.
            questions: the user's turns.
            read: returns the image of a key.
            sampling: how the answers are sampled, one each.
        """
        requests = [
            GenerationRequest(question, read(key), self.seed + index)
            for index, (key, question) in enumerate(zip(keys, questions, strict=True))
        ]
        with self.inference():
            texts = self.generator.generate(requests, sampling, self.requests_at_once)
        return [completions[0] for completions in texts]

    def weights_digest(self) -> str:
        """Digest of the trained weights; every rank must call it."""
        return trained_digest(self._weights)

    def made_with(self, keys: Sequence[str], **more: Any) -> dict[str, Any]:
        """What the records of these images depend on, by name; every rank must call it.

        Args:
            keys: of the images.
            more: what else they depend on.
        """
        config, sampling = self.config, self.config.sampling
        return {
            "model": self.lvlm.fingerprint,
            "dtype": str(self.lvlm.dtype),
            "weights": self.weights_digest(),
            "chat_template": digest([self.lvlm.chat_template]),
            "prompts": digest([part for one in load_templates(config.templates) for part in (one.kind, one.text)]),
            "begin": config.begin,
            "per_image": config.per_image,
            "samples": sampling.samples,
            "max_new_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": self.seed,
            "images": len(keys),
            "image_keys": digest(keys),
            **self.generated_by(),
            **more,
        }

    def generated_by(self) -> dict[str, str]:
        """What the texts depend on beside the LVLM, by name; empty if it generates them itself."""
        return {} if self._external is None else self._external.identity()

    def final_records(
        self,
        folder: Path,
        images: ImageChunk,
        stream: int,
        digests: Mapping[str, str] | None = None,
        config: ScoringConfig = ScoringConfig(),  # noqa: B008  # frozen
        **more: Any,
    ) -> Sequence[ScoredCandidate]:
        """Candidates for a data set, scored by the reference; every rank must call it.

        Args:
            folder: run folder.
            images: what they are about.
            stream: tells the draws from those of other stages.
            digests: of all readable images by key; a resumed data set keeps the images that it was created with.
            config: how answers are scored.
            more: what else the records depend on, by name.

        Returns:
            All candidates on rank zero, none on the other ranks.
        """
        with self.inference():
            folder = folder / "rounds" / "final"
            keys = resumed_keys(folder, images.keys)
            task = Task(
                name="data set",
                folder=folder,
                keys=keys,
                read=images.read,
                seed=self.seed * 1009 + stream,
                made_with=self.made_with(keys, stream=stream, **config.made_with(), **more),
                again="remove that folder",
                digests=digests or {},
                scoring=config,
            )
            records = self.make_records(task)
            if not collectives.is_rank_zero():
                return ()
            return write_candidate_rows(folder / "candidates.jsonl", records.candidates)

    def make_records(self, task: Task, profiler: Profiler | None = None) -> Records:
        """Make the records that are missing; every rank must call it.

        Args:
            task: what is to be made.
            profiler: measures the stages `generate` (opening images included), `score`, `engine` (keeping records) and
                `wait` (for the other ranks).

        Returns:
            All records on rank zero, none on the other ranks.

        Raises:
            ValueError: if the task was started with other settings; names the first that differs.
            OSError: if rows of another rank are not visible.
        """
        profiler = profiler or PassThroughProfiler()
        with profiler.profile("engine"):
            images_per_part = collectives.on_rank_zero(lambda: begin_task(self.config, task))["images_a_part"]
            job = row_job(self.config, task)
            job.open()

            def append(row: Row) -> None:
                with profiler.profile("engine"):
                    job.append([row])

            assigned = dict(zip(task.keys, assigned_instructions(self.config, len(task.keys)), strict=True))
            counts = {key: len(own) for key, own in assigned.items()}
            journal = Journal(job.files, counts, append, task.describes, bool(task.origins))
            journal.update()
            finished = journal.finished()
            own = layout(len(task.keys), images_per_part)[collectives.rank() :: collectives.world()]
            todo = [span for span in own if not finished[span.start : span.stop].all()]
        gone = {key for key in task.keys if task.digests and key not in task.digests}
        for key in (key for span in todo for key in task.keys[span.start : span.stop] if key in gone):
            warnings.warn(f"image {key} is left out: {_GONE}", stacklevel=2)
            with journal.holding([key]):
                journal.completions.refused[key] = _GONE

        def read(key: str) -> Image:
            # a part keeps its images, so that those behind a missing one keep their instructions; this one is not used
            return Pictures.new("RGB", (1, 1)) if key in gone else task.read(key)

        images = ImageChunk(task.keys, read, instructions=assigned)
        if self.generates_first:
            with profiler.profile("generate"):
                self._generate_all(task, images, todo, journal, job)
        total = sum(map(len, todo))
        with stage(task.name, "images", total) as progress:
            journal.update(job.file)
            for chunk in timed(iter_image_chunks(self.lvlm, images, todo), profiler, "generate"):
                with journal.holding(chunk.keys):
                    self._make_part(task, chunk, journal, profiler)
                with profiler.profile("engine"):
                    job.sync()
                progress.update(len(chunk.keys))
        with profiler.profile("engine"):
            job.close()
        with profiler.profile("wait"):
            collectives.barrier()
        with profiler.profile("engine"):
            return self._merged(assigned, journal, job) if collectives.is_rank_zero() else Records()

    def _make_part(self, task: Task, chunk: ImageChunk, journal: Journal, profiler: Profiler) -> None:
        """Generate and score what is missing of a part; the journal keeps each piece as soon as it is finished."""
        with profiler.profile("generate"):
            candidates = self._generate_chunk(task, chunk, journal)
        with profiler.profile("score"):
            seed = task.seed + chunk.start
            scored = self.score(candidates, chunk.read, seed, task.scorer, known=journal.scores, config=task.scoring)
            for key in chunk.keys:  # those without a candidate that can be parsed are finished too
                if key not in journal.completions.refused:
                    journal.scores.setdefault((key,), [])
        if task.origins:
            self._answer_again(task, chunk, scored, journal, profiler)

    def _answer_again(
        self, task: Task, chunk: ImageChunk, scored: Sequence[ScoredCandidate], journal: Journal, profiler: Profiler
    ) -> None:
        """Answer questions of a part once more, as far as that is missing."""
        labels = task.pseudo_labels or PseudoLabelConfig()
        usable = replace(chunk, keys=[key for key in chunk.keys if key not in journal.completions.refused])
        missing = [key for key in usable.keys if key not in journal.answers]
        own = [one for one in scored if one.candidate.image in missing]
        with profiler.profile("generate"):
            questions = positives(own, labels) if labels.prior else []
            answers = self._answering.prior(questions, usable, labels.prior, task.seed, task.scorer)
            replayed = self._answering.replayed(own, usable) if labels.replay else []
        with profiler.profile("score"):
            scored = self.score(answers, chunk.read, None, task.scorer, config=task.scoring)
            further = [*scored, *map(ScoredCandidate, replayed)]
        for key in missing:
            journal.answers[key] = [one for one in further if one.candidate.image == key]

    def _generate_all(
        self, task: Task, images: ImageChunk, todo: Sequence[range], journal: Journal, job: RowJob
    ) -> None:
        """Generate what is missing of this rank's parts."""
        journal.update(job.file)
        generated = journal.generated()
        keys = [images.keys[position] for span in todo for position in span if not generated[position]]
        if not any(collectives.gather(bool(keys))):
            return
        chunks = spans(len(keys), math.ceil(len(keys) / self.requests_at_once))
        with self.generating(), stage(f"{task.name}: generate", "images", len(keys)) as progress:
            for chunk in iter_image_chunks(self.generator, replace(images, keys=keys), chunks):
                with journal.holding(chunk.keys):
                    self._generate_chunk(task, chunk, journal)
                job.sync()
                progress.update(len(chunk.keys))

    def _generate_chunk(self, task: Task, chunk: ImageChunk, journal: Journal) -> list[Candidate]:
        """Generate what is missing of a chunk; the journal keeps each text as soon as it is finished."""
        candidates = self.generate(chunk, task.seed, completions=journal.completions)
        if task.describes:
            used = [key for key in chunk.keys if key not in journal.completions.refused]
            if missing := [key for key in used if key not in journal.descriptions]:
                greedy = Sampling(1, self.config.sampling.max_new_tokens, 0.0)
                texts = self.answers(missing, [DESCRIBE] * len(missing), chunk.read, greedy)
                for key, text in zip(missing, texts, strict=True):
                    journal.descriptions[key] = text
        return candidates

    def _merged(self, assigned: Mapping[str, list[Instruction]], journal: Journal, job: RowJob) -> Records:
        """The rows of all ranks as records, in the order of the images."""

        def is_complete() -> bool:
            journal.update()
            return bool(journal.finished().all())

        job.wait_until(is_complete)
        candidates = MergedCandidates(journal, list(assigned), list(assigned.values()), self.config)
        return Records(candidates, journal.all_descriptions(), journal.all_refused(), candidates.release)
