"""What all benchmarks share: questions, answers, scores, and the protocols that a benchmark implements.

A benchmark knows its own files, how its questions are put to an LVLM, and by which protocols answers are scored.
Nothing here knows an LVLM or a Trainer.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.evaluation.benchmarks.final_answer import final_answer


@dataclass(frozen=True)
class Question:
    """One question of a benchmark.

    Attributes:
        id: unique in the benchmark: `adversarial/17` of POPE, else the id in the file.
        text: the question itself.
        truth: `yes` or `no`, or the letter of the right option; empty if a judge decides.
        image: path below the benchmark's image folder, or key among the images in its file; None without an image.
        options: text of each option by its letter.
        hint: shown before the question.
        splits: parts of the benchmark that it belongs to; a POPE question may belong to several.
        categories: values by the name of a table, such as `l2-category`.
        context: description of the image, which judges read instead of it.
        reference: answer that a judge compares with.
    """

    id: str
    text: str
    truth: str = ""
    image: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    hint: str = ""
    splits: tuple[str, ...] = ()
    categories: Mapping[str, str] = field(default_factory=dict)
    context: str = ""
    reference: str = ""


@dataclass(frozen=True)
class QuestionSet:
    """Questions of one version of a benchmark.

    Attributes:
        questions: in the order of the file.
        digest: first 16 hexadecimal digits of the SHA-256 of the files' bytes, which tells versions apart.
        source: the files, for messages.
        images: image files that the question file itself contains, by key.
    """

    questions: tuple[Question, ...]
    digest: str
    source: str
    images: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """An LVLM's answer to one question.

    Attributes:
        id: the question's id.
        text: the generated text, reasoning included; None if only losses are known.
        losses: mean negative log-likelihood per token of each option, in nats, in the order of the letters.
        problem: why there is no answer, such as an unreadable image.
        hit: another tool's verdict on the whole base question, in MMBench files that keep nothing else.
    """

    id: str
    text: str | None
    losses: tuple[float, ...] | None = None
    problem: str = ""
    hit: bool | None = None

    @property
    def final(self) -> str | None:
        """`text` without the model's reasoning; None if there is no answer."""
        return None if self.text is None else final_answer(self.text)

    @property
    def empty(self) -> bool:
        """Whether nothing was generated, or nothing after the reasoning."""
        return not (self.text or "").strip() or self.final == ""


Pair = tuple[Question, Answer]


class QuestionReference(NamedTuple):
    """What a row of an answer file, or the file's name, says about the row's question."""

    id: str
    splits: Sequence[str]
    text: str


@dataclass(frozen=True)
class ProtocolScore:
    """Figures of answers by one protocol.

    Attributes:
        headline: the figure that stands for the benchmark.
        n: number of answers.
        unparsable: answers that the protocol could not read.
        figures: further figures over all answers.
        tables: figures of each category, by table and category.
        parts: what each unit (question, or base question) adds to the sums behind the headline, `[N_p, K]` for each
            part that is resampled on its own.
        figure: from totals `[..., P, K]` to the headline `[...]`.
        right: whether each unit is right, `[U]` bool, in the order of the pairs where each is a unit; None if nothing
            is right or wrong.
        meaning: what the headline is, if its name does not say it.
    """

    headline: float
    n: int
    unparsable: int
    figures: Mapping[str, float]
    tables: Mapping[str, Mapping[str, Mapping[str, float]]]
    parts: Sequence[NDArray[Any]]
    figure: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    right: NDArray[np.bool_] | None = None
    meaning: str = ""


class Benchmark(Protocol):
    """One benchmark: its files, its prompts and its protocols. Benchmarks derive from it and replace the defaults.

    Attributes:
        name: as logs, files and reports call it.
        headline: the figure that stands for it, such as `f1`, which logs call `test/pope_f1`.
        protocols: by which answers can be scored; figures by the first have the plain name, by another one its name
            behind it.
    """

    name: str
    headline: str = "accuracy"
    protocols: tuple[str, ...]

    def files(self, paths: Sequence[Path]) -> list[Path]:
        """List the files to read for these files or folders; by default the files themselves.

        Raises:
            ValueError: a folder contains none.
        """
        return list(paths)

    def read_questions(self, paths: Sequence[Path]) -> QuestionSet:
        """Read the benchmark's own files, or the folder that contains them.

        Raises:
            OSError: a file cannot be read.
            ValueError: names the file, the record and what is wrong.
        """

    def prompt(self, question: Question) -> str:
        """Return the benchmark's usual prompt for a question."""


class ScoredBenchmark(Benchmark, Protocol):
    """A benchmark whose answers are scored one by one, without a judge; one of the user's own replaces `score`."""

    def unit(self, question: Question) -> str:
        """Return the id of what counts as one: by default the question, else the base question that rows share."""
        return question.id

    def question_ids(self, rows: Sequence[QuestionReference], questions: Sequence[Question]) -> list[str]:
        """Return the id of the question that each row of an answer file refers to, by default the row's own."""
        return [row.id for row in rows]

    def parse_truth(self, truth: str, options: Mapping[str, str]) -> str:
        """Return a cell of a row as `Question.truth`, by default stripped; empty if it is not a valid one."""
        return truth.strip()

    def required_field(self, protocol: str) -> str:
        """Return the field of `Answer` that a protocol reads: by default `text`, else `losses` or `hit`."""
        return "text"

    def metric_inputs(self, pairs: Sequence[Pair], protocol: str) -> tuple[NDArray[Any], ...]:
        """Return arrays over the pairs, as the headline's class in `metrics.headlines` takes them; of ours alone."""
        raise NotImplementedError

    def score(self, pairs: Sequence[Pair], protocol: str) -> ProtocolScore:
        """Compute all figures of at least one pair, of each question once."""

    def notes(self, pairs: Sequence[Pair], protocol: str) -> list[str]:
        """Return remarks that a reader of the figures needs, by default none."""
        return []


def score_pairs(benchmark: ScoredBenchmark, pairs: Sequence[Pair], protocol: str) -> ProtocolScore:
    """All figures of pairs, from a benchmark that may be the user's own.

    Raises:
        ValueError: it returns something else than a `ProtocolScore`, or not one value of `right` for each unit.
    """
    found: Any = benchmark.score(pairs, protocol)
    where = f"benchmark {benchmark.name}, protocol {protocol}: score"
    if not isinstance(found, ProtocolScore):
        raise ValueError(f"{where} returned a {type(found).__name__}, expected a ProtocolScore")
    units = len({benchmark.unit(question) for question, _ in pairs})
    if found.right is not None and len(found.right) != units:
        raise ValueError(f"{where} returned `right` of {len(found.right)} values, expected {units}, one a question")
    return found


def by_category(pairs: Sequence[Pair]) -> Mapping[str, Mapping[str, list[int]]]:
    """Indices of the pairs of each category, by table and category; categories are sorted by name."""
    tables: dict[str, dict[str, list[int]]] = {}
    for index, (question, _) in enumerate(pairs):
        for table, category in question.categories.items():
            if category:
                tables.setdefault(table, {}).setdefault(category, []).append(index)
    return {table: dict(sorted(categories.items())) for table, categories in tables.items()}


def headline_name(benchmark: Benchmark, protocol: str) -> str:
    """Name of a benchmark's headline figure by a protocol, such as `test/pope_f1` or `test/pope_f1_strict`."""
    return figure_name(benchmark, benchmark.headline, protocol)


def figure_name(benchmark: Benchmark, figure: str, protocol: str) -> str:
    """Name of a further figure of a benchmark by a protocol, such as `test/pope_yes_ratio` or `test/pope_n_strict`."""
    return f"test/{benchmark.name}_{figure}" + ("" if protocol == benchmark.protocols[0] else f"_{protocol}")
