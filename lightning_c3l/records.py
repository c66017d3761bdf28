"""The records that flow through a round, from an image to a pair of the written data set.

Plain frozen dataclasses: no tensor, no framework. `dataclasses.asdict` turns each into JSON.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["right", "wrong", "unanswerable", "unparsable"]
Role = Literal["system", "user", "assistant"]
# of S(I2C), see `lightning_c3l.functional.i2c`
READINGS = ("answer", "positions", "vocabulary", "gap")
# and plain confidence with the image, which every reading has to be shown beside
READINGS_AND_RIVAL = (*READINGS, "mean_logp")


@dataclass(frozen=True)
class Instruction:
    """The prompt that asks the LVLM to write one question with its answer about an image."""

    kind: str
    text: str


@dataclass(frozen=True)
class Candidate:
    """One written text for one (image, instruction).

    Attributes:
        image: key of the image in its source.
        instruction: what the LVLM was asked to write.
        sample: number of the text within its group, from 0.
        text: what the LVLM wrote, untouched.
        question: parsed question, empty where `rejected` says why it could not be parsed.
        answer: parsed answer, likewise.
        rejected: reason why the text holds no usable pair, empty for a parsed candidate.
    """

    image: str
    instruction: Instruction
    sample: int
    text: str
    question: str = ""
    answer: str = ""
    rejected: str = ""


@dataclass(frozen=True)
class Scores:
    """The readings of S(I2C) of one answer (see `lightning_c3l.functional.i2c`), in nats a token."""

    answer: float
    positions: float
    vocabulary: float
    gap: float
    mean_logp: float
    mean_logq: float
    tokens: int


@dataclass(frozen=True)
class ScoredCandidate:
    """A candidate, its scores and what became of it.

    Attributes:
        candidate: the written text.
        scores: None where the text was rejected.
        shuffled: the `answer` reading against another sample's image, the control of the score.
        verdict: the world's truth about the pair, where the world is known.
        status: positive, negative, margin, duplicate or rejected in a round; kept, left out, duplicate or rejected
            where a data set is exported; empty before either.
    """

    candidate: Candidate
    scores: Scores | None = None
    shuffled: float | None = None
    verdict: Verdict | None = None
    status: str = ""

    def to_row(self) -> dict[str, Any]:
        """The candidate as candidate files hold it; their key of the status is `fate`."""
        row = asdict(self)
        row["fate"] = row.pop("status")
        return row

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "ScoredCandidate":
        """The candidate of a row that `to_row` made."""
        candidate = Candidate(**{**row["candidate"], "instruction": Instruction(**row["candidate"]["instruction"])})
        scores = None if row["scores"] is None else Scores(**row["scores"])
        return cls(candidate, scores, row["shuffled"], row["verdict"], row["fate"])


@dataclass(frozen=True)
class Group:
    """The pseudo-labels of one (image, instruction), what the LVLM is trained on.

    Attributes:
        positive: the candidate with the best score.
        negatives: the others that were kept, maybe none.
        weight: w_i of the loss, mean 1 over the round.
        sampling_weight: how often the sampler draws the group, mean 1 over the round.
    """

    positive: ScoredCandidate
    negatives: tuple[ScoredCandidate, ...]
    weight: float = 1.0
    sampling_weight: float = 1.0

    @property
    def image(self) -> str:
        """Key of the image that the whole group is about."""
        return self.positive.candidate.image


@dataclass(frozen=True)
class VLITRecord:
    """One kept pair of the written data set, with where it came from.

    Attributes:
        id: unique in the data set.
        image: path relative to the data set's stated root.
        question: what is asked about the image.
        answer: the written answer.
        kind: kind of the instruction that asked for the pair.
        scores: all readings.
        provenance: round, prompt, seed and model hash.
    """

    id: str
    image: str
    question: str
    answer: str
    kind: str
    scores: Scores
    provenance: dict[str, Any]

    @classmethod
    def of(cls, number: int, kept: ScoredCandidate, provenance: dict[str, Any]) -> "VLITRecord":
        """A kept pair as the record `number` of a set.

        Raises:
            ValueError: it has no scores.
        """
        candidate, scores = kept.candidate, kept.scores
        if scores is None:
            raise ValueError(f"a pair about {candidate.image} is kept without scores")
        return cls(
            id=f"{number:06d}",
            image=candidate.image,
            question=candidate.question,
            answer=candidate.answer,
            kind=candidate.instruction.kind,
            scores=scores,
            provenance=provenance,
        )


@dataclass(frozen=True)
class Turn:
    """One message, without any image placeholder.

    Attributes:
        role: who speaks.
        text: what is said.
        images: places in the text, counted in characters and ascending, at which an image of the conversation stands.
    """

    role: Role
    text: str
    images: tuple[int, ...] = ()


@dataclass(frozen=True)
class Conversation:
    """Turns about one image, about several, or about none.

    Attributes:
        id: the record's own name, or its number in the file where it has none.
        image: path relative to the data set's image root; several in the order of their places; None for a text-only
            conversation.
        turns: an optional system turn, then user and assistant in turn, ending with the assistant. Images for which no
            turn has a place belong before the first user turn.
        weight: how much its loss counts, 1 in the mean of its set.
    """

    id: str
    image: str | tuple[str, ...] | None
    turns: tuple[Turn, ...]
    weight: float = 1.0

    @property
    def images(self) -> tuple[str, ...]:
        """Paths of all images."""
        if self.image is None:
            return ()
        return (self.image,) if isinstance(self.image, str) else self.image


def exchange(question: str, answer: str) -> tuple[Turn, Turn]:
    """A question and its answer as turns."""
    return Turn("user", question), Turn("assistant", answer)


@dataclass(frozen=True)
class RejectedImage:
    """An image that cannot be used, and why, in one line."""

    key: str
    reason: str
