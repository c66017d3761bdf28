"""What the rules look at, as small columns: a few numbers a record, whatever its texts and images weigh."""

import hashlib
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.selection.pseudo_labels import normalised, words
from lightning_c3l.selection.scores import TEXT_ONLY, RecordScore

Mask = NDArray[np.bool_]

# A set can have a reason of its own for every record; the table and the memory need not.
_MOST_REASONS = 20
OTHER_REASONS = "rejected: other reasons"


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it comes in.

    Attributes:
        number: its place in the set, from 1.
        score: what it is worth.
        kind: kind of its question.
        turns: number of its assistant messages.
        images: hash of its images, 0 for none (see `hash_of`).
        texts: what users and assistants say in it, empty where no rule asks for texts.
    """

    number: int
    score: RecordScore
    kind: str
    turns: int = 1
    images: int = 0
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Columns:
    """A set of N records.

    Attributes:
        number: place in the set, ascending, int64 [N].
        score: in nats a token, nan where there is none, float64 [N].
        tokens: length of the scored answers, int64 [N].
        kind: position in `kinds`, int32 [N].
        turns: assistant messages, int32 [N].
        image: hash of the images, 0 for none, uint64 [N].
        text: hash of the normalised texts, uint64 [N].
        reason: position in `reasons` of why there is no score, 0 where there is one, int16 [N].
        shingles: hashes of all records' shingles, one record after the other, each record's ascending, uint32.
        starts: where each record's shingles begin, and the end of the last, int64 [N + 1].
        kinds: names of the kinds.
        reasons: why records have no score; the first is empty.
    """

    number: NDArray[np.int64]
    score: NDArray[np.float64]
    tokens: NDArray[np.int64]
    kind: NDArray[np.int32]
    turns: NDArray[np.int32]
    image: NDArray[np.uint64]
    text: NDArray[np.uint64]
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
    """Gathers rows one by one.

    Args:
        shingled: whether to keep the shingle hashes of texts, which near-duplicates need.
    """

    def __init__(self, shingled: bool = False) -> None:
        self.shingled = shingled
        # codes of the standard library's array: q int64, d float64, i int32, h int16, Q uint64, I uint32
        self._number, self._score, self._tokens = array("q"), array("d"), array("q")
        self._kind, self._turns, self._reason = array("i"), array("i"), array("h")
        self._image, self._text = array("Q"), array("Q")
        self._shingles, self._starts = array("I"), array("q", [0])
        self._kinds: dict[str, int] = {}
        self._reasons: dict[str, int] = {"": 0}

    def add(self, row: Row) -> None:
        """Add a record; numbers must ascend."""
        self._number.append(row.number)
        self._score.append(row.score.value)
        self._tokens.append(row.score.tokens)
        self._kind.append(self._kinds.setdefault(row.kind, len(self._kinds)))
        self._turns.append(row.turns)
        self._reason.append(self._reason_code(row.score.why))
        self._image.append(row.images)
        self._text.append(hash_of(normalised(text) for text in row.texts))
        if self.shingled:
            self._shingles.extend(shingle_hashes(row.texts))
        self._starts.append(len(self._shingles))

    def _reason_code(self, why: str) -> int:
        if why.startswith("rejected") and why not in self._reasons and len(self._reasons) >= _MOST_REASONS:
            why = OTHER_REASONS
        return self._reasons.setdefault(why, len(self._reasons))

    def finish(self) -> Columns:
        """The columns of all rows; the builder must not be used afterwards."""
        return Columns(
            number=np.frombuffer(self._number, np.int64),
            score=np.frombuffer(self._score, np.float64),
            tokens=np.frombuffer(self._tokens, np.int64),
            kind=np.frombuffer(self._kind, np.int32),
            turns=np.frombuffer(self._turns, np.int32),
            image=np.frombuffer(self._image, np.uint64),
            text=np.frombuffer(self._text, np.uint64),
            reason=np.frombuffer(self._reason, np.int16),
            shingles=np.frombuffer(self._shingles, np.uint32),
            starts=np.frombuffer(self._starts, np.int64),
            kinds=tuple(self._kinds),
            reasons=tuple(self._reasons),
        )


def hash_of(parts: Iterable[str | bytes]) -> int:
    """Hash of a sequence of texts or files, 64 bits; 0 for an empty one. The same in every process."""
    found = hashlib.blake2b(digest_size=8)
    empty = True
    for part in parts:
        data = _utf8(part) if isinstance(part, str) else part
        # the length keeps ("ab", "c") and ("a", "bc") apart
        found.update(b"%d:" % len(data))
        found.update(data)
        empty = False
    return 0 if empty else int.from_bytes(found.digest(), "big")


def shingle_hashes(texts: Sequence[str]) -> list[int]:
    """Hashes of the pairs of neighbouring words, 32 bits each, ascending, each once.

    Pairs rather than words, since "is the dog left of the cat" is not "is the cat left of the dog". A text of one word
    has that word. Two different pairs within two texts of 100 words share a hash in one of 200,000 cases.
    """
    found = words(" ".join(texts))
    shingles = {f"{one} {two}" for one, two in pairwise(found)} or set(found)
    hashes = {int.from_bytes(hashlib.blake2b(_utf8(text), digest_size=4).digest(), "big") for text in shingles}
    return sorted(hashes)


def _utf8(text: str) -> bytes:
    # JSON can spell half of a surrogate pair
    return text.encode("utf-8", "surrogatepass")
