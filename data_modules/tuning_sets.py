"""Records to train on: those of a file, or of several files that are mixed."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch

from data_modules.formats import image_root, record_kind, trainable
from data_modules.loading.decoding import decode_rgb
from data_modules.loading.samplers import draw_evenly
from lightning_c3l.lvlm.samples import TuningSample
from lightning_c3l.records import Conversation, RejectedImage
from lightning_c3l.report.progress import track
from lightning_c3l.runs.digests import Digest, content_digest
from lightning_c3l.selection.quotas import capped_shares
from lightning_c3l.selection.scores import record_score, require_reading

# upper limit of a record's weight, as a multiple of the mean of its kind, as in rounds
_CAP = 3.0
# upper limit of the records that an epoch draws from one set
_MOST = 10**8


class FileRecords:
    """The records of a file, in any format that `data_modules.formats` reads, with their images.

    The conversations are kept in memory, images are read on access. If the set carries its images (shards, Parquet
    with bytes, `data:` URLs), they are written to files first. Records that cannot be trained on are left out.

    Attributes:
        rejected: what is left out, with the reason.

    Args:
        path: file with the records.
        images: folder that its image paths are relative to, and where images that it carries are written; by default
            the one that `<stem>.meta.json` names or the file's own, and `<stem>.images` beside it.
        weights: reading of S(I2C), maybe one of your own, that weights the loss of each record, from the scores in
            the file; null weights all alike. Weights are max(S, 0) with mean 1 among the scored records of a kind, none
            above 3; records without a score weigh 1.
        read_as: dialect of your own that the file is in, `module.Class` (docs/extending/dialect.md).

    Raises:
        ValueError: no record can be trained on, or none has that reading.
        OSError: the file cannot be read.
    """

    def __init__(
        self, path: str, images: str | None = None, weights: str | None = None, read_as: str | None = None
    ) -> None:
        if weights is not None:
            require_reading("weights:", weights)
        folder = None if images is None else Path(images)
        if folder is None and path.startswith("pipe:"):
            raise ValueError(f"{path}: give images, the folder that its images are written to")
        self.path, self.root = path, image_root(path, folder)
        self.rejected, self.conversations, self._numbers = list[RejectedImage](), list[Conversation](), list[int]()
        # kind and score of each conversation
        scores = list[tuple[str, float]]()
        records = trainable(path, self.root, folder or Path(path).with_suffix(".images"), read_as)
        for one in track(records, "read", "records"):
            if one.conversation is None or one.record is None:
                self.rejected.append(RejectedImage(f"{path}, record {one.number}", one.reason))
                continue
            self.conversations.append(one.conversation)
            self._numbers.append(one.number)
            if weights is not None:
                scores.append((record_kind(one.record), record_score(one.record.extra, weights).value))
        if not self.conversations:
            reason = self.rejected[0].reason if self.rejected else "it is empty"
            raise ValueError(f"{path}: no record to train on; the first: {reason}")
        if weights is not None:
            if not any(math.isfinite(score) for _, score in scores):
                raise ValueError(
                    f"{path}: no record has the score {weights!r}; run `score` on it, or set weights to null"
                )
            found = zip(self.conversations, loss_weights(scores), strict=True)
            self.conversations = [replace(conversation, weight=weight) for conversation, weight in found]

    def __len__(self) -> int:
        return len(self.conversations)

    @cached_property
    def digest(self) -> str:
        """Digest of the conversations, the names of their images and the weights; the images are not read."""
        found = Digest(8)
        for one in self.conversations:
            turns = [[turn.role, turn.text, turn.images] for turn in one.turns]
            found.update(json.dumps([one.id, one.images, turns, one.weight]))
        return found.hexdigest()

    def __getitem__(self, index: int) -> TuningSample:
        """A record.

        Raises:
            UnreadableImage: one of its images cannot be read now.
        """
        conversation = self.conversations[index]
        images = tuple(decode_rgb(self.root / image) for image in conversation.images)
        return conversation, images[0] if isinstance(conversation.image, str) else images or None

    def name(self, index: int) -> str:
        """What a record is called where it is left out: its file, and its number there."""
        return f"{self.path}, record {self._numbers[index]}"


def loss_weights(scores: Sequence[tuple[str, float]]) -> list[float]:
    """Loss weight of each record: its score relative to its kind, as for the groups of rounds.

    Args:
        scores: kind and score in nats a token of each record, nan where it has none.

    Returns:
        Weights of mean 1 over the scored records of each kind; 1 for the others.
    """
    kinds = defaultdict[str, list[int]](list)
    for number, (kind, score) in enumerate(scores):
        if math.isfinite(score):
            kinds[kind].append(number)
    weights = [1.0] * len(scores)
    for numbers in kinds.values():
        shares = capped_shares([max(scores[number][1], 0.0) for number in numbers], _CAP)
        for number, weight in zip(numbers, shares.tolist(), strict=True):
            weights[number] = weight
    return weights


@dataclass(frozen=True)
class Part:
    """One set of a mixture.

    Attributes:
        path: file with the records.
        images: folder of the images, as for `FileRecords`.
        weights: reading that weights the records, as for `FileRecords`.
        ratio: share of the set in an epoch, relative to the ratios of the others.
        read_as: dialect of your own that the file is in, as for `FileRecords`.
    """

    path: str
    images: str | None = None
    weights: str | None = None
    ratio: float = 1.0
    read_as: str | None = None

    def __post_init__(self) -> None:
        """Refuse a ratio that is not a positive number."""
        if not 0 < self.ratio < math.inf:
            raise ValueError(f"{self.path}: ratio must be above 0, not {self.ratio}")


class MixedRecords:
    """Several sets in one, each with its share of every epoch.

    An epoch goes once through the first set. From another it draws `ratio / (ratio of the first)` records for each
    record of the first: a small set is repeated, and of a large one another part is drawn in each epoch.

    Args:
        parts: the sets.

    Attributes:
        path: the files of all sets, separated by commas.
        rejected: the records that are left out of any set.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        if not parts:
            raise ValueError("parts: a mixture needs at least one set")
        self.sets = [FileRecords(one.path, one.images, one.weights, one.read_as) for one in parts]
        self.path = ", ".join(one.path for one in parts)
        self.rejected = [one for own in self.sets for one in own.rejected]
        first = parts[0].ratio
        self._draws = [max(1, round(len(self.sets[0]) * min(one.ratio / first, _MOST))) for one in parts]
        for one, draws in zip(parts, self._draws, strict=True):
            if draws > _MOST:
                raise ValueError(f"{one.path}: ratio {one.ratio} draws {draws} records an epoch: it is much too large")

    @property
    def digest(self) -> str:
        """Digest of all sets."""
        return content_digest(" ".join(own.digest for own in self.sets), size=8)

    def __len__(self) -> int:
        return sum(map(len, self.sets))

    def __getitem__(self, index: int) -> TuningSample:
        """One record; the sets follow each other."""
        own, index = self._owner(index)
        return own[index]

    def name(self, index: int) -> str:
        """What a record is called where it is left out."""
        own, index = self._owner(index)
        return own.name(index)

    def _owner(self, index: int) -> tuple[FileRecords, int]:
        for own in self.sets:
            if index < len(own):
                return own, index
            index -= len(own)
        raise IndexError(index)

    def draws(self, generator: torch.Generator) -> list[int]:
        """Indices of the records of an epoch, shuffled."""
        start, numbers = 0, list[int]()
        for own, wanted in zip(self.sets, self._draws, strict=True):
            numbers += [start + number for number in draw_evenly(len(own), wanted, generator)]
            start += len(own)
        order: Iterable[int] = torch.randperm(len(numbers), generator=generator).tolist()
        return [numbers[index] for index in order]
