"""A benchmark's questions in chunks: those about one image together, images decoded ahead."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from data_modules.loading.chunks import ChunkStream, WaitingChunk, image_key, with_images
from data_modules.loading.decode_pool import DecodePool
from lightning_c3l.distributed.messages import inform
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.benchmarks.base import Question, QuestionSet
from lightning_c3l.evaluation.prompt_template import check_template, fill_template, question_with_hint
from lightning_c3l.lvlm.samples import QuestionChunk, QuestionItem
from lightning_c3l.runs.row_files import Done
from lightning_c3l.runs.row_jobs import RowJob

# questions that are answered and stored together; each rank takes every n-th chunk
CHUNK = 32


class BenchmarkDataModule(LightningDataModule):
    """The questions in a benchmark's own files, for `EvaluationModule`.

    Args:
        benchmark: the benchmark: `pope`, `seed`, `mmbench`, `llava_w`, or `module.Class` of your own
            (docs/extending/benchmark.md).
        questions: the benchmark's file, several of them, or the folder that contains them.
        images: folder of the benchmark's images; not needed if the question file contains them, or with `blind`.
        blind: ask without images, as a baseline.
        limit: number of questions, from the first; null takes all of them.
        prompt: template instead of the benchmark's usual prompt, with `{question}`, and maybe `{hint}` and `{options}`.
        num_workers: processes that decode images.

    Raises:
        ValueError: the questions cannot be read, or images are missing.
    """

    def __init__(
        self,
        benchmark: str,
        questions: str | list[str],
        images: str | None = None,
        blind: bool = False,
        limit: int | None = None,
        prompt: str | None = None,
        num_workers: int = 2,
    ) -> None:
        super().__init__()
        for name, value in (("limit", limit), ("num_workers", num_workers)):
            if value is not None and value < 1:
                raise ValueError(f"data: {name} must be at least 1, not {value}")
        if prompt is not None:
            check_template(prompt)
        self.benchmark, self.blind = benchmarks.choose("data.benchmark", benchmark), blind
        self.template, self.workers = prompt, num_workers
        paths = [questions] if isinstance(questions, str) else questions
        self.questions = self.benchmark.read_questions([Path(path) for path in paths])
        # a question of SEED-Bench about a video has no image and can only be asked blind
        usable = [question for question in self.questions.questions if blind or question.image is not None]
        self.skipped = len(self.questions.questions) - len(usable)
        self.selected = tuple(usable[:limit])
        if not self.selected:
            raise ValueError(f"{self.questions.source}: no question is about an image; set blind: true to ask all")
        self._files: dict[str, bytes | Path] = {}
        keys: list[str | None] = [None] * len(self.selected)
        if not blind:
            files = find_image_files(self.selected, self.questions, images)
            key_of = {name: image_key(file) for name, file in files.items()}
            self._files = {key: files[name] for name, key in key_of.items()}
            keys = [key_of[str(question.image)] for question in self.selected]
        self._keys, self._chunks = keys, chunk_indices(keys, CHUNK)
        self.done = Done(len(self.selected))
        # stores the answers; set by the module, which knows what they depend on
        self.job: RowJob | None = None

    def prompt(self, question: Question) -> str:
        """Return the prompt for a question."""
        return self.benchmark.prompt(question) if self.template is None else fill_template(self.template, question)

    def test_dataloader(self) -> DataLoader[Any]:
        """This rank's chunks; the next one is read while the last one is answered."""
        assert self.trainer is not None  # Lightning sets it
        if self.job is None:
            raise RuntimeError("BenchmarkDataModule has no row job: test it with EvaluationModule")
        if self.skipped:
            inform(f"{self.skipped} questions about videos are left out: they have no image")
        self.done = self.job.begin_numbered(len(self.selected), "questions")
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(ChunkStream(lambda: self.chunks(rank, world)), batch_size=None)

    def questions_left(self, rank: int, world: int) -> int:
        """Number of questions that this rank still has to answer."""
        return sum(len(self._chunks[number]) for number in self._unfinished(rank, world))

    def chunks(self, rank: int, world: int) -> Iterator[QuestionChunk]:
        """Yield this rank's chunks that have a question without an answer."""
        with DecodePool(self.workers) as pool:
            yield from with_images(map(self._waiting, self._unfinished(rank, world)), pool)

    def _unfinished(self, rank: int, world: int) -> Iterator[int]:
        for number in range(rank, len(self._chunks), world):
            if any(index + 1 not in self.done for index in self._chunks[number]):
                yield number

    def _waiting(self, number: int) -> WaitingChunk[QuestionItem]:
        items, files = list[QuestionItem](), dict[str, bytes | Path]()
        for index in self._chunks[number]:
            question, key = self.selected[index], self._keys[index]
            options = tuple(question.options.values())
            items.append(QuestionItem(index + 1, self.prompt(question), question_with_hint(question), options, key))
            if key is not None:
                files[key] = self._files[key]
        return WaitingChunk(number, items, files)


def find_image_files(
    selected: Sequence[Question], questions: QuestionSet, images: str | None
) -> dict[str, bytes | Path]:
    """Find the image files of the selected questions.

    Args:
        selected: the questions, each with an image.
        questions: the question set, which may contain images.
        images: folder of the images; None if the question set contains them all.

    Returns:
        File or bytes of each image, by the name in the questions.

    Raises:
        ValueError: the number of missing images, and the first of them.
    """
    root = None if images is None else Path(images).expanduser()
    if root is not None and not root.is_dir():
        raise ValueError(f"data: images: {images}: no such folder")
    names = dict.fromkeys(str(question.image) for question in selected)
    outside = [name for name in names if name not in questions.images]
    if outside and root is None:
        first = next(question.id for question in selected if str(question.image) == outside[0])
        raise ValueError(f"data: images is not set, but question {first} of {questions.source} needs {outside[0]}")
    found = {name: questions.images[name] if name in questions.images else Path(str(root)) / name for name in names}
    # unlike Path.is_file, isfile never raises, whatever the name
    if missing := [name for name in outside if not os.path.isfile(found[name])]:
        raise ValueError(
            f"{root}: {len(missing)} of the {len(names)} images of {questions.source} are missing, "
            f"the first is {missing[0]}"
        )
    return found


def chunk_indices(keys: Sequence[str | None], size: int) -> list[list[int]]:
    """Split indices of questions into chunks, those of one image together if they fit.

    Args:
        keys: image key of each question, `[N]`.
        size: most questions in a chunk.

    Returns:
        Chunks of the indices 0 .. N - 1.
    """
    by_key = dict[str | None, list[int]]()
    for index, key in enumerate(keys):
        by_key.setdefault(key, []).append(index)
    chunks = list[list[int]]()
    for own in by_key.values():
        for part in (own[start : start + size] for start in range(0, len(own), size)):
            if chunks and len(chunks[-1]) + len(part) <= size:
                chunks[-1] += part
            else:
                chunks.append(part)
    return chunks
