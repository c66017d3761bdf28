"""The records that flow through a round, from an image to a pair of the exported data set.

Plain frozen dataclasses: no tensor, no framework. `dataclasses.asdict` turns each into JSON.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["right", "wrong", "unanswerable", "unparsable"]
Role = Literal["system", "user", "assistant"]
Origin = Literal["", "blind", "shuffled", "replay"]
# readings of S(I2C), see `lightning_c3l.functional.i2c`
READINGS = ("answer", "positions", "vocabulary", "gap")
# and plain confidence with the image, the baseline shown beside every reading
READINGS_AND_RIVAL = (*READINGS, "mean_logp")
# how the values of an answer's tokens become the answer's, see `lightning_c3l.functional.pooling`
Pooling = Literal["mean", "min_sentence", "lowest_quarter"]
POOLINGS: tuple[Pooling, ...] = ("mean", "min_sentence", "lowest_quarter")


@dataclass(frozen=True)
class Instruction:
    """A prompt for one question with its answer about an image."""

    kind: str
    text: str


@dataclass(frozen=True)
class Candidate:
    """One text generated for one (image, instruction).

    Attributes:
        image: key of the image in its source.
        instruction: the prompt.
        sample: number of the text within its (image, instruction), from 0.
        text: the text as generated.
        question: parsed question, empty where `rejected` says why it could not be parsed.
        answer: parsed answer, likewise.
        rejected: reason why the text holds no usable pair, empty for a parsed candidate.
        origin: of another answer to a candidate's question: "blind" if it was given without the image, "shuffled" if it
            was given about another image, "replay" if the starting model gave it, with the question as the instruction;
            empty for a text generated for the instruction.
    """

    image: str
    instruction: Instruction
    sample: int
    text: str
    question: str = ""
    answer: str = ""
    rejected: str = ""
    origin: Origin = ""


@dataclass(frozen=True)
class Scores:
    """The readings of S(I2C) of one answer (see `lightning_c3l.functional.i2c`), in nats a token.

    Attributes:
        answer: the four readings, this and the next three.
        positions: of the whole answer, in nats.
        vocabulary: at least 0.
        gap: signed.
        mean_logp: mean log-probability of an answer token with the image.
        mean_logq: the same without the image.
        tokens: number of answer tokens.
        more: readings of the user's own, each with its dotted path.
    """

    answer: float
    positions: float
    vocabulary: float
    gap: float
    mean_logp: float
    mean_logq: float
    tokens: int
    more: tuple[tuple[str, float], ...] = ()

    def value(self, name: str) -> float:
        """A reading by its name; nan for one of the user's own that the answer was not scored by."""
        return dict(self.more).get(name, math.nan) if "." in name else float(getattr(self, name))

    def to_row(self) -> dict[str, Any]:
        """The scores as files hold them: all readings side by side."""
        row = dict(vars(self))
        row.update(row.pop("more"))
        return row

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Scores":
        """The scores of a row that `to_row` made."""
        own = {name: value for name, value in row.items() if "." not in name}
        return cls(**own, more=tuple((name, row[name]) for name in row if "." in name))


@dataclass(frozen=True)
class ScoredCandidate:
    """A candidate, its scores and its status.

    Attributes:
        candidate: the generated text.
        scores: None where the text was rejected.
        shuffled: the `answer` reading with another sample's image, the control of the score.
        verdict: whether the pair is true, where the world is known.
        status: positive, negative, margin, unused, duplicate, rejected or replay in a round; kept, left out, duplicate
            or rejected where a data set is exported; empty before either.
        dropped: sentences that the answer has lost because the image does not support them.
    """

    candidate: Candidate
    scores: Scores | None = None
    shuffled: float | None = None
    verdict: Verdict | None = None
    status: str = ""
    dropped: tuple[str, ...] = ()

    def to_row(self) -> dict[str, Any]:
        """The candidate as candidate files hold it; their key of the status is `fate`."""
        # not `asdict`, which takes ten times as long
        instruction = dict(vars(self.candidate.instruction))
        row = {**vars(self), "candidate": {**vars(self.candidate), "instruction": instruction}}
        row["scores"] = None if self.scores is None else self.scores.to_row()
        row["fate"] = row.pop("status")
        if not self.candidate.origin:
            del row["candidate"]["origin"]
        if not self.dropped:
            del row["dropped"]
        return row

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "ScoredCandidate":
        """The candidate of a row that `to_row` made."""
        candidate = Candidate(**{**row["candidate"], "instruction": Instruction(**row["candidate"]["instruction"])})
        scores = None if row["scores"] is None else Scores.from_row(row["scores"])
        dropped = tuple(row.get("dropped", ()))
        return cls(candidate, scores, row["shuffled"], row["verdict"], row["fate"], dropped)


@dataclass(frozen=True)
class Group:
    """The pseudo-labels of one (image, instruction), which the LVLM is trained on.

    Attributes:
        positive: the candidate with the best score.
        negatives: the candidates it is contrasted with, maybe none.
        weight: w_i of the loss, mean 1 over the round.
        sampling_weight: how often the sampler draws the group, mean 1 over the round.
    """

    positive: ScoredCandidate
    negatives: tuple[ScoredCandidate, ...]
    weight: float = 1.0
    sampling_weight: float = 1.0

    @property
    def image(self) -> str:
        """Key of the group's image."""
        return self.positive.candidate.image


@dataclass(frozen=True)
class VLITRecord:
    """One pair of the exported data set, with its provenance.

    Attributes:
        id: unique in the data set.
        image: path relative to the data set's stated root.
        question: question about the image.
        answer: its answer.
        kind: kind of the instruction that the pair was generated with.
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
        """The record `number` of a data set from a selected candidate.

        Raises:
            ValueError: it has no scores.
        """
        candidate, scores = kept.candidate, kept.scores
        if scores is None:
            raise ValueError(f"a pair about {candidate.image} is exported without scores")
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
        role: author of the message.
        text: its text.
        images: positions in the text, in characters and ascending, at which the images of the conversation stand.
    """

    role: Role
    text: str
    images: tuple[int, ...] = ()


@dataclass(frozen=True)
class Conversation:
    """Turns about one image, about several, or about none.

    Attributes:
        id: the record's own name, or its number in the file where it has none.
        image: path relative to the data set's image root; several in the order of their positions; None for a
            text-only conversation.
        turns: an optional system turn, then user and assistant in turn, ending with the assistant. Images for which no
            turn has a position belong before the first user turn.
        weight: weight of its loss, 1 in the mean of its set.
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
    """A question and its answer as two turns."""
    return Turn("user", question), Turn("assistant", answer)


@dataclass(frozen=True)
class RejectedImage:
    """An image that cannot be used, and the reason in one line."""

    key: str
    reason: str
