"""A benchmark's questions as chunks to ask: those about one picture together, pictures decoded ahead."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning import LightningDataModule
from torch.utils.data import DataLoader

from data_modules.loading.chunks import ChunkStream, WaitingChunk, picture_key, with_pictures
from data_modules.loading.decode_pool import DecodePool
from lightning_c3l.evaluation import benchmarks
from lightning_c3l.evaluation.benchmarks.base import Question, QuestionSet
from lightning_c3l.evaluation.prompt_template import bare, check_template, filled_in
from lightning_c3l.lvlm.samples import QuestionChunk, QuestionItem
from lightning_c3l.runs.row_files import Done
from lightning_c3l.runs.row_jobs import RowJob

# questions that are asked together and kept together; a process takes every n-th chunk
CHUNK = 32


class BenchmarkDataModule(LightningDataModule):
    """The questions of a benchmark's own files; the module answers them.

    Args:
        benchmark: pope, seed, mmbench or llava_w.
        questions: its file, several of them, or the folder that holds them.
        images: folder of its pictures; not needed where the question file carries them, or with `blind`.
        blind: ask without pictures, as a baseline.
        limit: only the first so many questions.
        prompt: what to ask instead of the benchmark's usual words, with {question} and maybe {hint} and {options}.
        num_workers: processes that decode pictures.

    Raises:
        ValueError: the questions cannot be read, or their pictures are not there.
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
        self.benchmark, self.blind = benchmarks.load(benchmark), blind
        self.template, self.workers = prompt, num_workers
        paths = [questions] if isinstance(questions, str) else questions
        self.questions = self.benchmark.read_questions([Path(path) for path in paths])
        # a question of SEED-Bench about a video has no picture, and can only be asked blindly
        seen = [one for one in self.questions.questions if blind or one.image is not None]
        self.passed_over = len(self.questions.questions) - len(seen)
        self.asked = tuple(seen[:limit])
        if not self.asked:
            raise ValueError(f"{self.questions.source}: no question is about a picture; set blind: true to ask all")
        self._files: dict[str, bytes | Path] = {}
        keys: list[str | None] = [None] * len(self.asked)
        if not blind:
            pictures = find_pictures(self.asked, self.questions, images)
            named = {name: picture_key(file) for name, file in pictures.items()}
            self._files = {key: pictures[name] for name, key in named.items()}
            keys = [named[str(one.image)] for one in self.asked]
        self._keys, self._layout = keys, laid_out(keys, CHUNK)
        self.done = Done(len(self.asked))
        # takes the answers; the module sets it, since it knows what they depend on
        self.job: RowJob | None = None

    def prompt(self, question: Question) -> str:
        """What is asked."""
        return self.benchmark.prompt(question) if self.template is None else filled_in(self.template, question)

    def test_dataloader(self) -> DataLoader[Any]:
        """This process's chunks, the next one read while the last one is answered."""
        assert self.trainer is not None  # Lightning sets it
        if self.job is None:
            raise RuntimeError("BenchmarkDataModule has no row job: test it with EvaluationModule")
        if self.passed_over and self.trainer.is_global_zero:
            print(f"{self.passed_over} questions about videos are left out: they have no picture", flush=True)
        self.done = self.job.begin_numbered(len(self.asked), "questions")
        rank, world = self.trainer.global_rank, self.trainer.world_size
        return DataLoader(ChunkStream(lambda: self.chunks(rank, world)), batch_size=None)

    def questions_left(self, rank: int, world: int) -> int:
        """Number of questions that this process will ask."""
        return sum(len(self._layout[number]) for number in self._open(rank, world))

    def chunks(self, rank: int, world: int) -> Iterator[QuestionChunk]:
        """Every `world`-th chunk that is not done, from number `rank` on."""
        with DecodePool(self.workers) as pool:
            yield from with_pictures(map(self._chunk, self._open(rank, world)), pool)

    def _open(self, rank: int, world: int) -> Iterator[int]:
        for number in range(rank, len(self._layout), world):
            if any(place + 1 not in self.done for place in self._layout[number]):
                yield number

    def _chunk(self, number: int) -> WaitingChunk[QuestionItem]:
        places = self._layout[number]
        files = {key: self._files[key] for place in places if (key := self._keys[place]) is not None}
        return WaitingChunk(number, [self._item(place) for place in places], files)

    def _item(self, place: int) -> QuestionItem:
        question = self.asked[place]
        options = tuple(question.options.values())
        return QuestionItem(place + 1, self.prompt(question), bare(question), options, self._keys[place])


def find_pictures(questions: Sequence[Question], carried: QuestionSet, images: str | None) -> dict[str, bytes | Path]:
    """The files of the questions' pictures, by the names that the questions give, all of which are there.

    Raises:
        ValueError: says how many are not there, and the first of them.
    """
    root = None if images is None else Path(images).expanduser()
    if root is not None and not root.is_dir():
        raise ValueError(f"data: images: {images}: no such folder")
    names = {str(one.image): one.id for one in reversed(questions)}
    left = {name: asked for name, asked in reversed(names.items()) if name not in carried.images}
    if left and root is None:
        name, asked = next(iter(left.items()))
        raise ValueError(f"data: images is not set, and question {asked} of {carried.source} is about {name}")
    found: dict[str, bytes | Path] = {name: carried.images[name] for name in names if name in carried.images}
    found |= {name: Path(str(root)) / name for name in left}
    # unlike Path.is_file, never raises, whatever the name
    missing = [name for name in left if not os.path.isfile(found[name])]
    if missing:
        raise ValueError(
            f"{root}: {len(missing)} of the {len(names)} pictures that {carried.source} asks about are not there, "
            f"the first is {missing[0]}"
        )
    return found


def laid_out(keys: Sequence[str | None], size: int) -> list[list[int]]:
    """Places 0 .. len(keys) - 1 as chunks of at most `size`, those of one key together where they fit into one."""
    by_key = dict[str | None, list[int]]()
    for place, key in enumerate(keys):
        by_key.setdefault(key, []).append(place)
    chunks = list[list[int]]()
    for own in by_key.values():
        for part in (own[start : start + size] for start in range(0, len(own), size)):
            if chunks and len(chunks[-1]) + len(part) <= size:
                chunks[-1] += part
            else:
                chunks.append(part)
    return chunks
