"""What the rules look at, as small columns: a few numbers a record, whatever its texts and images weigh."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.runs.digests import Digest, as_bytes, content_number
from lightning_c3l.selection.scores import TEXT_ONLY, RecordScore
from lightning_c3l.selection.texts import normalised, polarity, words

_Number = TypeVar("_Number", bound=np.generic)
Mask = NDArray[np.bool_]
# what near-duplicates are compared by: pairs of neighbouring words, or words whatever their order
Shingles = Literal["pairs", "words"]

# what the columns hold at most
MOST_TURNS = 32_767
# A set can have a reason of its own for every record; the table and the memory need not.
_MOST_REASONS = 20
OTHER_REASONS = "rejected: other reasons"


@dataclass(frozen=True, slots=True)
class ScoredRecord:
    """One record as selection sees it.

    Attributes:
        number: its position in the set, from 1.
        score: score and length of its answers.
        kind: kind of its question.
        images: hash of its images, 0 for none (see `hash_of`).
        messages: role and text of what users and assistants say, in order.
    """

    number: int
    score: RecordScore
    kind: str
    images: int = 0
    messages: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Columns:
    """A set of N records.

    Attributes:
        number: position in the set from 1, ascending, int32 [N].
        score: in nats a token, nan where there is none, float64 [N].
        tokens: length of the scored answers, int32 [N].
        kind: index into `kinds`, int32 [N].
        turns: assistant messages, `MOST_TURNS` for more, int16 [N].
        image: hash of the images, 0 for none, uint64 [N].
        text: hash of the normalised texts, uint64 [N]; 0 where they were not hashed.
        question: hash of the normalised questions, likewise.
        polarity: 1 for an answer of yes, -1 for no, 0 for others (see `texts.polarity`), int8 [N].
        reason: index into `reasons` of why there is no score, 0 where there is one, int16 [N].
        shingles: hashes of all records' shingles, one record after the other, each record's ascending, uint32.
        starts: where each record's shingles begin, and the end of the last, int64 [N + 1].
        kinds: names of the kinds.
        reasons: why records have no score; the first is empty.
    """

    number: NDArray[np.int32]
    score: NDArray[np.float64]
    tokens: NDArray[np.int32]
    kind: NDArray[np.int32]
    turns: NDArray[np.int16]
    image: NDArray[np.uint64]
    text: NDArray[np.uint64]
    question: NDArray[np.uint64]
    polarity: NDArray[np.int8]
    reason: NDArray[np.int16]
    shingles: NDArray[np.uint32]
    starts: NDArray[np.int64]
    kinds: tuple[str, ...]
    reasons: tuple[str, ...]

    @property
    def scored(self) -> Mask:
        """Which records have a score."""
        return np.equal(self.reason, 0)

    @property
    def text_only(self) -> Mask:
        """Which records are about no image."""
        return np.equal(self.reason, self.reasons.index(TEXT_ONLY) if TEXT_ONLY in self.reasons else -1)


class ColumnsBuilder:
    """Gathers records one by one.

    Args:
        texts: hash texts and questions, which duplicates need.
        shingles: hash these parts of the texts, which near-duplicates need; None hashes none.
    """

    def __init__(self, texts: bool = False, shingles: Shingles | None = None) -> None:
        self._hash_texts, self._shingled_by = texts, shingles
        # codes of the standard library's array: q int64, d float64, i int32, h int16, b int8, Q uint64, I uint32
        self._number, self._score, self._tokens = array("i"), array("d"), array("i")
        self._kind, self._turns, self._reason = array("i"), array("h"), array("h")
        self._image, self._text, self._question, self._polarity = array("Q"), array("Q"), array("Q"), array("b")
        self._shingles, self._starts = array("I"), array("q", [0])
        self._kinds: dict[str, int] = {}
        self._reasons: dict[str, int] = {"": 0}

    def add(self, record: ScoredRecord) -> None:
        """Add a record; numbers must ascend."""
        self._number.append(record.number)
        self._score.append(record.score.value)
        self._tokens.append(record.score.tokens)
        self._kind.append(self._kinds.setdefault(record.kind, len(self._kinds)))
        why = record.score.why
        if why.startswith("rejected") and why not in self._reasons and len(self._reasons) >= _MOST_REASONS:
            why = OTHER_REASONS
        self._reason.append(self._reasons.setdefault(why, len(self._reasons)))
        self._image.append(record.images)
        texts = [text for _, text in record.messages]
        questions, answers = ([text for role, text in record.messages if role == one] for one in ("user", "assistant"))
        self._turns.append(min(len(answers), MOST_TURNS))
        self._polarity.append(polarity(answers))
        if self._hash_texts:
            self._text.append(hash_of(map(normalised, texts)))
            self._question.append(hash_of(map(normalised, questions)))
        if self._shingled_by:
            self._shingles.extend(shingle_hashes(texts, self._shingled_by))
            self._starts.append(len(self._shingles))

    def finish(self) -> Columns:
        """The columns of all records; the builder must not be used afterwards."""
        count = len(self._number)
        starts = np.frombuffer(self._starts, np.int64)
        return Columns(
            number=np.frombuffer(self._number, np.int32),
            score=np.frombuffer(self._score, np.float64),
            tokens=np.frombuffer(self._tokens, np.int32),
            kind=np.frombuffer(self._kind, np.int32),
            turns=np.frombuffer(self._turns, np.int16),
            image=np.frombuffer(self._image, np.uint64),
            text=_or_zeros(np.frombuffer(self._text, np.uint64), count),
            question=_or_zeros(np.frombuffer(self._question, np.uint64), count),
            polarity=np.frombuffer(self._polarity, np.int8),
            reason=np.frombuffer(self._reason, np.int16),
            shingles=np.frombuffer(self._shingles, np.uint32),
            starts=starts if self._shingled_by else _or_zeros(starts[1:], count + 1),
            kinds=tuple(self._kinds),
            reasons=tuple(self._reasons),
        )


def _or_zeros(column: NDArray[_Number], count: int) -> NDArray[_Number]:
    """The column, or as many zeros, which take no memory, where it was not filled."""
    return column if len(column) == count else np.broadcast_to(np.zeros((), column.dtype), (count,))


def hash_of(parts: Iterable[str | bytes]) -> int:
    """Hash of a sequence of texts or files, 64 bits; 0 for an empty one. The same in every process."""
    digest = Digest(8)
    empty = True
    for part in parts:
        data = as_bytes(part)
        # the length keeps ("ab", "c") and ("a", "bc") apart
        digest.update(b"%d:" % len(data), data)
        empty = False
    return 0 if empty else digest.number()


def shingle_hashes(texts: Sequence[str], by: Shingles = "pairs") -> list[int]:
    """Hashes of the shingles of some texts, 32 bits each, ascending, each once.

    Two different shingles of two texts of 100 words share a hash in one of 200,000 cases.

    Args:
        texts: the messages of a record, in order.
        by: `pairs` of neighbouring words, by which "is the dog left of the cat" is not "is the cat left of the dog"
            (a text of one word has that word), or `words`.
    """
    found = words(" ".join(texts))
    shingles = {f"{one} {two}" for one, two in pairwise(found)} if by == "pairs" else set[str]()
    return sorted(set(map(_shingle_hash, shingles or found)))


@lru_cache(maxsize=1 << 16)
def _shingle_hash(text: str) -> int:
    # most words of a text were hashed before
    return content_number(text, size=4)


def runs(column: NDArray[_Number]) -> NDArray[_Number]:
    """The column without those of its values that repeat the one before: as many as images where they are in order."""
    return column[np.r_[: min(1, len(column)), np.flatnonzero(column[1:] != column[:-1]) + 1]]
