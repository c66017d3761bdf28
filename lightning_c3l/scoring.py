"""Candidates -> scored candidates: all readings of S(I2C), and the shuffled-image control."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from lightning.pytorch.utilities import rank_zero_warn
from tqdm import tqdm

from lightning_c3l.generation import Read
from lightning_c3l.i2c import all_readings, answer_reading
from lightning_c3l.lvlm.base import LVLM
from lightning_c3l.memory import BatchSize
from lightning_c3l.records import Candidate, ScoredCandidate, Scores


def score_candidates(
    lvlm: LVLM,
    candidates: Sequence[Candidate],
    read: Read,
    batch_size: int | BatchSize,
    seed: int,
    shuffle: bool = True,
    progress: str = "score",
) -> list[ScoredCandidate]:
    """Score what could be parsed; order and number of the candidates stay.

    Args:
        lvlm: who scores (inside `lvlm.reference()` for the starting model).
        candidates: any.
        read: gives the picture of a key.
        batch_size: images at once, with all of their candidates, or what has been found to fit.
        seed: seed of the control's partners.
        shuffle: also score each answer against another sample's image; needs two images.
        progress: word for the progress bar.
    """
    by_image = dict[str, list[int]]()
    for number, one in enumerate(candidates):
        if not one.rejected:
            by_image.setdefault(one.image, []).append(number)
    partners = _partners(list(by_image), seed) if shuffle and len(by_image) > 1 else None
    # images whose pairs are alike in length stand together: little of a batch is padding
    waiting = sorted(by_image, key=lambda key: sum(_length(candidates[n]) for n in by_image[key]), reverse=True)
    size = BatchSize(batch_size, "writing.score_batch_size") if isinstance(batch_size, int) else batch_size
    out = [ScoredCandidate(one) for one in candidates]
    with tqdm(total=sum(map(len, by_image.values())), desc=progress, unit="pair", leave=False) as bar:
        while waiting:
            batch, scored = size.run(partial(_score_first, lvlm, waiting, by_image, candidates, read, partners))
            waiting = waiting[len(batch) :]
            numbers = [number for key in batch for number in by_image[key]]
            for number, (scores, control) in zip(numbers, scored, strict=True):
                out[number] = _usable(candidates[number], scores, control)
            bar.update(len(numbers))
    return out


def _length(candidate: Candidate) -> int:
    return len(candidate.question) + len(candidate.answer)


def _score_first(
    lvlm: LVLM,
    waiting: Sequence[str],
    by_image: Mapping[str, Sequence[int]],
    candidates: Sequence[Candidate],
    read: Read,
    partners: Mapping[str, str] | None,
    size: int,
) -> tuple[Sequence[str], list[tuple[Scores | None, float | None]]]:
    """The first `size` images that wait, and the figures of their candidates."""
    batch = waiting[:size]
    return batch, list(_score_batch(lvlm, batch, [[candidates[n] for n in by_image[k]] for k in batch], read, partners))


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
    partners: Mapping[str, str] | None,
) -> Iterator[tuple[Scores | None, float | None]]:
    pairs = [[(one.question, one.answer) for one in candidates] for candidates in own]
    shuffled = None if partners is None else [read(partners[key]) for key in batch]
    tokens = lvlm.score([read(key) for key in batch], pairs, shuffled)
    # an answer of control tokens alone has no token left, and no reading
    some = tokens.mask.any(dim=1)
    logq, mask = tokens.logq[some], tokens.mask[some]
    table = all_readings(tokens.logp[some], logq, tokens.kl[some], mask)
    control: list[float | None] = [None] * len(mask)
    if tokens.logp_shuffled is not None:
        control = answer_reading(tokens.logp_shuffled[some], logq, mask).tolist()
    rows = zip(*(column.tolist() for column in table), control, strict=True)
    for scored in some.tolist():
        if not scored:
            yield None, None
            continue
        answer, positions, vocabulary, gap, mean_logp, mean_logq, count, other = next(rows)
        yield Scores(answer, positions, vocabulary, gap, mean_logp, mean_logq, int(count)), other


def _usable(candidate: Candidate, scores: Scores | None, control: float | None) -> ScoredCandidate:
    """Drop a pair whose scores are no numbers instead of letting it win or spoil a mean."""
    if scores is None:
        return ScoredCandidate(replace(candidate, rejected="answer has no token"))
    if all(math.isfinite(value) for value in (scores.answer, scores.positions, scores.vocabulary, scores.gap)):
        return ScoredCandidate(candidate, scores, control)
    rank_zero_warn(
        f"image {candidate.image}, group {candidate.instruction.kind!r}, text {candidate.sample}: its score is not a "
        "finite number; the pair is dropped"
    )
    return ScoredCandidate(replace(candidate, rejected="score is not a finite number"))
