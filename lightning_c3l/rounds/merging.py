"""The rows of all ranks as candidates."""

from collections.abc import Iterator, Sequence

from lightning_c3l.records import Instruction, ScoredCandidate
from lightning_c3l.rounds.generation import GenerationConfig, candidates_of
from lightning_c3l.rounds.journal import Journal
from lightning_c3l.rounds.scoring import with_scores


class MergedCandidates:
    """Candidates by image, instruction and sample, each image's further answers behind them.

    Each iteration reads them from the rows, one image at a time.

    Args:
        journal: in which all images are finished; its files must stay.
        keys: of the images.
        assigned: instructions of each image; lists, since a dict takes far more.
        config: options that they were generated with.
    """

    def __init__(
        self,
        journal: Journal,
        keys: Sequence[str],
        assigned: Sequence[Sequence[Instruction]],
        config: GenerationConfig,
    ) -> None:
        self._journal, self._keys, self._assigned, self._config = journal, keys, assigned, config

    def __iter__(self) -> Iterator[ScoredCandidate]:
        journal = self._journal
        for key, instructions in zip(self._keys, self._assigned, strict=True):
            with journal.holding([key]):
                candidates = candidates_of({key: instructions}, self._config, journal.completions)
                scored = with_scores(candidates, {key: found for (key,), found in journal.scores.items()})
                further = journal.answers.get(key, [])
            yield from (*scored, *further)
        journal.close()

    def release(self) -> None:
        """Free what is held of each image; the candidates cannot be read afterwards."""
        self._journal.close()
        del self._journal, self._keys, self._assigned
