"""The groups of a round as positions in its candidates, which are read when a group is asked for."""

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.records import Group, ScoredCandidate
from lightning_c3l.rounds.candidate_rows import JoinedRows, read_rows, same_items


@dataclass(frozen=True)
class GroupColumns:
    """G groups as columns.

    Attributes:
        positives: position of each group's positive, uint32 `[G]`.
        negatives: positions of the negatives, group after group, uint32.
        starts: where each group's negatives begin, and the end of the last, int64 `[G + 1]`.
        weights: float64 `[G]`.
        sampling_weights: float64 `[G]`.
    """

    positives: NDArray[np.uint32]
    negatives: NDArray[np.uint32]
    starts: NDArray[np.int64]
    weights: NDArray[np.float64]
    sampling_weights: NDArray[np.float64]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> "GroupColumns":
        """The columns of rows as group files have them."""
        # codes of the standard library's array: I uint32, q int64, d float64
        positives, negatives, starts = array("I"), array("I"), array("q", [0])
        weights, sampling_weights = array("d"), array("d")
        for row in rows:
            positives.append(row["positive"])
            negatives.extend(row["negatives"])
            starts.append(len(negatives))
            weights.append(row["weight"])
            sampling_weights.append(row["sampling_weight"])
        return cls(
            np.frombuffer(positives, np.uint32),
            np.frombuffer(negatives, np.uint32),
            np.frombuffer(starts, np.int64),
            np.frombuffer(weights, np.float64),
            np.frombuffer(sampling_weights, np.float64),
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the groups as group files have them."""
        for number in range(len(self.positives)):
            yield {
                "positive": int(self.positives[number]),
                "negatives": self.negatives[self.starts[number] : self.starts[number + 1]].tolist(),
                "weight": float(self.weights[number]),
                "sampling_weight": float(self.sampling_weights[number]),
            }

    def followed_by(self, others: "GroupColumns", offset: int = 0) -> "GroupColumns":
        """These groups, then others.

        Args:
            others: come behind.
            offset: added to the positions of their candidates.
        """
        shift = np.uint32(offset)
        return GroupColumns(
            np.concatenate([self.positives, others.positives + shift]),
            np.concatenate([self.negatives, others.negatives + shift]),
            np.concatenate([self.starts, self.starts[-1] + others.starts[1:]]),
            np.concatenate([self.weights, others.weights]),
            np.concatenate([self.sampling_weights, others.sampling_weights]),
        )

    def kept(self, those: NDArray[np.bool_]) -> "GroupColumns":
        """Some of the groups, `[G]`."""
        counts = np.diff(self.starts)
        return GroupColumns(
            self.positives[those],
            self.negatives[np.repeat(those, counts)],
            np.concatenate([np.zeros(1, np.int64), counts[those].cumsum()]),
            self.weights[those],
            self.sampling_weights[those],
        )


class GroupRows(Sequence[Group]):
    """Groups whose candidates are read when one is asked for.

    Args:
        candidates: of the round.
        columns: the groups.
    """

    def __init__(self, candidates: Sequence[ScoredCandidate], columns: GroupColumns) -> None:
        self.candidates, self.columns = candidates, columns

    @classmethod
    def read(cls, file: Path, candidates: Sequence[ScoredCandidate]) -> "GroupRows":
        """The groups of a file."""
        return cls(candidates, GroupColumns.of(read_rows(file)))

    @property
    def sampling_weights(self) -> NDArray[np.float64]:
        """How often the sampler draws each group, `[G]`."""
        return self.columns.sampling_weights

    def __len__(self) -> int:
        return len(self.columns.positives)

    @overload
    def __getitem__(self, index: int) -> Group: ...

    @overload
    def __getitem__(self, index: slice) -> list[Group]: ...

    def __getitem__(self, index: int | slice) -> Group | list[Group]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        number, columns = range(len(self))[index], self.columns
        negatives = columns.negatives[columns.starts[number] : columns.starts[number + 1]].tolist()
        return Group(
            positive=self.candidates[int(columns.positives[number])],
            negatives=tuple(self.candidates[position] for position in negatives),
            weight=float(columns.weights[number]),
            sampling_weight=float(columns.sampling_weights[number]),
        )

    def __eq__(self, other: object) -> bool:
        return same_items(self, other)

    __hash__ = None  # type: ignore[assignment]

    def followed_by(self, others: "GroupRows") -> "GroupRows":
        """These groups, then others, of another round."""
        columns = self.columns.followed_by(others.columns, len(self.candidates))
        return GroupRows(JoinedRows(self.candidates, others.candidates), columns)

    def images(self) -> Iterator[str]:
        """Yield the image of each group."""
        return (self.candidates[position].candidate.image for position in self.columns.positives.tolist())

    def kept(self, those: NDArray[np.bool_]) -> "GroupRows":
        """Some of the groups, `[G]`."""
        return GroupRows(self.candidates, self.columns.kept(those))


def rows_of(groups: Iterable[Group], candidates: Iterable[ScoredCandidate]) -> Iterator[dict[str, Any]]:
    """Yield groups as group files have them, given all candidates; those of `GroupRows` need not be looked for."""
    if isinstance(groups, GroupRows):
        yield from groups.columns.rows()
        return
    positions = {_identity(one): position for position, one in enumerate(candidates)}
    for group in groups:
        yield {
            "positive": positions[_identity(group.positive)],
            "negatives": [positions[_identity(one)] for one in group.negatives],
            "weight": group.weight,
            "sampling_weight": group.sampling_weight,
        }


def _identity(one: ScoredCandidate) -> tuple[str, str, str, int]:
    candidate = one.candidate
    return candidate.image, candidate.instruction.kind, candidate.instruction.text, candidate.sample
