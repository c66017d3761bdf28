"""What all benchmarks share: questions, answers, and what is asked of a benchmark.

A benchmark knows its own files, how its questions are put to an LVLM, and by which protocols answers are judged.
Nothing here knows an LVLM or a Trainer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lightning_c3l.evaluation.benchmarks.final_answer import final_answer

# names of the benchmarks, as commands and experiment files know them
NAMES = ("pope", "seed", "mmbench", "llava_w")


@dataclass(frozen=True)
class Question:
    """One question of a benchmark.

    Attributes:
        id: its name, unique in the benchmark: `adversarial/17` of POPE, else the id that the file gives.
        text: what is asked.
        truth: `yes` or `no`, or the letter of the right option; empty where a judge decides.
        image: path below the benchmark's image folder, or key among the pictures that its file carries; None where
            it needs none.
        options: text of each option by its letter.
        hint: what is said before the question.
        splits: parts of the benchmark that it belongs to; POPE's may be several at once.
        categories: values by the name of a table, such as `l2-category`.
        context: description of the image, which judges read instead.
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
        pictures: image files that the question file itself carries, by key.
    """

    questions: tuple[Question, ...]
    digest: str
    source: str
    pictures: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What an LVLM said to one question.

    Attributes:
        id: the question's.
        text: what it wrote, reasoning included; None where only losses are known.
        losses: mean negative log-likelihood a token of each option, in nats, in the order of the letters.
        problem: why there is no answer, such as a picture that could not be read.
        hit: another tool's verdict on the whole base question, in files of MMBench that keep no more than that.
    """

    id: str
    text: str | None
    losses: tuple[float, ...] | None = None
    problem: str = ""
    hit: bool | None = None

    @property
    def final(self) -> str | None:
        """What is read as the answer: `text` without the model's reasoning; None where there is no answer."""
        return None if self.text is None else final_answer(self.text)

    @property
    def silent(self) -> bool:
        """Whether nothing was written, or nothing after the reasoning."""
        return not (self.text or "").strip() or self.final == ""


class Benchmark(Protocol):
    """One benchmark: its files, its prompts and its protocols."""

    name: str
    # protocols by which answers can be judged, the default first
    protocols: tuple[str, ...]

    def read_questions(self, paths: Sequence[Path]) -> QuestionSet:
        """Read the benchmark's own files, or the folder that holds them.

        Raises:
            ValueError: names the file, the record and what is wrong.
        """

    def prompt(self, question: Question) -> str:
        """What an LVLM is asked; the benchmark's usual wording."""
