"""Candidates -> scored candidates: all readings of S(I2C), and the shuffled-image control."""

import math
from collections.abc import Iterator, Sequence
from random import Random

from tqdm import tqdm

from lightning_c3l.generation import Read
from lightning_c3l.i2c import all_readings, answer_reading
from lightning_c3l.lvlm.base import LVLM
from lightning_c3l.records import Candidate, ScoredCandidate, Scores


def score_candidates(
    lvlm: LVLM,
    candidates: Sequence[Candidate],
    read: Read,
    batch_size: int,
    seed: int,
    shuffle: bool = True,
    progress: str = "score",
) -> list[ScoredCandidate]:
    """Score what could be parsed; order and number of the candidates stay.

    Args:
        lvlm: who scores (inside `lvlm.reference()` for the starting model).
        candidates: any.
        read: gives the picture of a key.
        batch_size: images at once, with all of their candidates.
        seed: seed of the control's partners.
        shuffle: also score each answer against another sample's image; needs two images.
        progress: word for the progress bar.
    """
    by_image = dict[str, list[int]]()
    for number, one in enumerate(candidates):
        if not one.rejected:
            by_image.setdefault(one.image, []).append(number)
    keys = list(by_image)
    partners = _partners(keys, seed) if shuffle and len(keys) > 1 else None
    out = [ScoredCandidate(one) for one in candidates]
    with tqdm(total=sum(map(len, by_image.values())), desc=progress, unit="pair", leave=False) as bar:
        for start in range(0, len(keys), batch_size):
            batch = keys[start : start + batch_size]
            numbers = [number for key in batch for number in by_image[key]]
            own = [[candidates[n] for n in by_image[key]] for key in batch]
            scored = _score_batch(lvlm, batch, own, read, partners)
            for number, (scores, control) in zip(numbers, scored, strict=True):
                out[number] = _usable(candidates[number], scores, control)
            bar.update(len(numbers))
    return out


def _partners(keys: Sequence[str], seed: int) -> dict[str, str]:
    """Another image for each: the next one in a shuffled circle."""
    circle = list(keys)
    Random(seed).shuffle(circle)
    return dict(zip(circle, circle[1:] + circle[:1], strict=True))


def _score_batch(
    lvlm: LVLM,
    batch: Sequence[str],
    own: Sequence[Sequence[Candidate]],
    read: Read,
    partners: dict[str, str] | None,
) -> Iterator[tuple[Scores, float | None]]:
    pairs = [[(one.question, one.answer) for one in candidates] for candidates in own]
    shuffled = None if partners is None else [read(partners[key]) for key in batch]
    tokens = lvlm.score([read(key) for key in batch], pairs, shuffled)
    table = all_readings(tokens.logp, tokens.logq, tokens.kl, tokens.mask)
    columns = [column.tolist() for column in table]
    control: list[float | None] = [None] * len(tokens.mask)
    if tokens.logp_shuffled is not None:
        control = answer_reading(tokens.logp_shuffled, tokens.logq, tokens.mask).tolist()
    for row, other in zip(zip(*columns, strict=True), control, strict=True):
        answer, positions, vocabulary, gap, mean_logp, mean_logq, count = row
        yield Scores(answer, positions, vocabulary, gap, mean_logp, mean_logq, int(count)), other


def _usable(candidate: Candidate, scores: Scores, control: float | None) -> ScoredCandidate:
    """Drop a pair whose scores are no numbers instead of letting it win or spoil a mean."""
    if all(math.isfinite(value) for value in (scores.answer, scores.positions, scores.vocabulary, scores.gap)):
        return ScoredCandidate(candidate, scores, control)
    named = Candidate(**{**candidate.__dict__, "rejected": "score is not a finite number"})
    return ScoredCandidate(named)
