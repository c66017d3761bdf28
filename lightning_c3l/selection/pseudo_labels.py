"""From scores to pseudo-labels, training weights and the pairs of the final data set.

Plain Python on records. A `reading` names the column of `Scores` to go by: one of the four readings of S(I2C)
(see `lightning_c3l.functional.i2c`), or `mean_logp` and `mean_logq` as controls. Our reading of C3L, arXiv 2405.12752.
"""

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Literal

from lightning_c3l.records import Candidate, Group, ScoredCandidate, Scores

# The length is no score: choosing by it is what the length-matched control guards against.
_SELECTABLE = tuple(field.name for field in fields(Scores) if field.name != "tokens")

# Sentence ends alone: stripping every sign would make "50%" and "50" one answer.
_END_PUNCTUATION = ".,;:!?\u2026\u3002\uff01\uff1f "

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")

GroupBy = Literal["instruction", "image"]


def grouped(candidates: Sequence[ScoredCandidate], by: GroupBy = "instruction") -> list[list[ScoredCandidate]]:
    """The candidates in groups, each for `select_group`.

    Args:
        candidates: those of a round.
        by: a group of each (image, instruction), or of each image with all of its instructions: an ablation in
            which one kind of question takes over.

    Returns:
        Groups in the order of their first candidates, candidates within in input order.

    Raises:
        ValueError: another way of grouping.
    """
    groups: dict[object, list[ScoredCandidate]] = defaultdict(list)
    for one in candidates:
        groups[_group_of(one, by)].append(one)
    return list(groups.values())


def select_group(
    candidates: Sequence[ScoredCandidate], reading: str = "answer", margin: float = 0.0, by: GroupBy = "instruction"
) -> tuple[Group | None, list[ScoredCandidate]]:
    """Choose the pseudo-labels of one (image, instruction), or of one image.

    The best reading is the positive (ties: the lowest sample number). Of texts that say the same (question
    and answer alike but for case, spacing and end punctuation) only the best counts, since the same text as
    positive and negative is noise. The others are negatives where they lie at least `margin` below the
    positive. In a group of one image the positive may answer any of its instructions, and training takes all texts of
    the group for answers to that one.

    Args:
        candidates: all candidates of one group (see `grouped`).
        reading: the score to go by.
        margin: least distance of a negative from the positive, in the reading's unit, not below 0.
        by: what makes a group.

    Returns:
        The group, None with no usable candidate; and all candidates in input order with their status: positive,
        negative, margin, duplicate or rejected.

    Raises:
        ValueError: candidates of several groups, an unknown reading, a score that is no number, or a margin
            below 0.
    """
    if margin < 0:
        raise ValueError(f"margin must not be below 0, not {margin}")
    if len({_group_of(c, by) for c in candidates}) > 1:
        unit = "image" if by == "image" else "(image, instruction)"
        raise ValueError(f"select_group takes the candidates of one {unit}")
    usable = [i for i, c in enumerate(candidates) if c.scores is not None]
    ranked = sorted(usable, key=lambda i: (-_score(candidates[i], reading), candidates[i].candidate.sample))
    statuses = ["rejected"] * len(candidates)
    seen: set[tuple[str, str]] = set()
    for i in ranked:
        text = _same_text(candidates[i].candidate)
        below = _score(candidates[ranked[0]], reading) - _score(candidates[i], reading)
        if text in seen:
            statuses[i] = "duplicate"
        elif not seen:
            statuses[i] = "positive"
        else:
            statuses[i] = "negative" if below >= margin else "margin"
        seen.add(text)
    judged = [replace(c, status=status) for c, status in zip(candidates, statuses, strict=True)]
    if not ranked:
        return None, judged
    return Group(judged[ranked[0]], tuple(c for c in judged if c.status == "negative")), judged


def weigh_groups(groups: Sequence[Group], reading: str = "answer", cap: float = 3.0) -> list[Group]:
    """Give groups whose positive scores high more of the training.

    Each group gets w = max(S of its positive, 0), scaled to mean 1 within its kind of instruction, so that a
    kind whose scores run higher does not take over, and held to `cap` there: what the cap cuts off goes to
    the kind's other groups in proportion. A kind with no score above 0 gets w = 1 throughout; one with so few
    that they would break the cap has them at the cap and spreads the rest evenly over its other groups.

    Loss and sampler share w evenly: `weight` and `sampling_weight` are both proportional to sqrt(w), each
    scaled to mean 1 over the round. A group's expected pull on the gradient, drawn so often times weighed so
    much, is then proportional to w.

    Args:
        groups: the round's groups.
        reading: the score to go by.
        cap: largest w, at least 1.

    Returns:
        The groups with their weights, in input order.

    Raises:
        ValueError: a cap below 1, an unknown reading, or a positive without scores or with one that is no
            number.
    """
    if not cap >= 1:
        raise ValueError(f"cap must be at least 1, the mean of the weights, not {cap}")
    members: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(groups):
        members[group.positive.candidate.instruction.kind].append(i)
    roots = [0.0] * len(groups)
    for indices in members.values():
        scores = [max(_score(groups[i].positive, reading), 0.0) for i in indices]
        for i, w in zip(indices, capped_shares(scores, cap), strict=True):
            roots[i] = math.sqrt(w)
    mean = sum(roots) / len(roots) if roots else 1.0
    return [replace(g, weight=r / mean, sampling_weight=r / mean) for g, r in zip(groups, roots, strict=True)]


def capped_shares(scores: Sequence[float], cap: float) -> list[float]:
    """Scores, none below 0, scaled to mean 1 and held to `cap`; the rest share what it cuts off."""
    shares, open_, left = [0.0] * len(scores), set(range(len(scores))), float(len(scores))
    while open_:
        total = sum(scores[i] for i in open_)
        wanted = {i: left * scores[i] / total if total > 0 else left / len(open_) for i in open_}
        over = {i for i, w in wanted.items() if w > cap}
        # Those at the cap leave the pot; the others' shares grow, so look again.
        for i in over or open_:
            shares[i] = min(wanted[i], cap)
        open_ = open_ - over if over else set()
        left -= cap * len(over)
    return shares


def near_duplicates(first: Candidate, second: Candidate, threshold: float = 0.8) -> bool:
    """Whether two pairs about one image say nearly the same.

    They do where the words of question and answer overlap (Jaccard index of the two word sets, case ignored),
    or where they ask the same question, whatever they answer: two answers to one question are one pair too
    many. The questions' words are compared in order, for "is the dog left of the cat" is not "is the cat left
    of the dog".

    Args:
        first: a parsed pair.
        second: another one, of the same image.
        threshold: least Jaccard index of near-duplicates, above 0 and at most 1.

    Returns:
        Whether one of the two should go.
    """
    if normalised(first.question) == normalised(second.question):
        return True
    one, two = _words(first), _words(second)
    union = one | two
    return bool(union) and len(one & two) / len(union) >= threshold


def drop_near_duplicates(
    candidates: Sequence[ScoredCandidate], reading: str = "answer", threshold: float = 0.8
) -> tuple[list[ScoredCandidate], list[ScoredCandidate]]:
    """Keep only the best-scored of near-duplicate pairs of the same image.

    Going down from the best score, a pair stays if it is no near-duplicate of one that stayed (ties: input
    order).

    Args:
        candidates: scored candidates of any number of images.
        reading: the score to go by.
        threshold: see `near_duplicates`.

    Returns:
        What stays and what goes, both in input order, records unchanged.

    Raises:
        ValueError: a candidate without scores or with one that is no number, an unknown reading, or a
            threshold outside (0, 1].
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold must be above 0 and at most 1, not {threshold}")
    ranked = [candidates[i] for i in _ranking(candidates, reading)]
    kept = {id(c) for c in first_of_alike(ranked, threshold)}
    return [c for c in candidates if id(c) in kept], [c for c in candidates if id(c) not in kept]


def first_of_alike(ordered: Sequence[ScoredCandidate], threshold: float = 0.8) -> list[ScoredCandidate]:
    """What is no near-duplicate of one about the same image that stands before it and stays, in the same order."""
    stayed: dict[str, list[Candidate]] = defaultdict(list)
    out = list[ScoredCandidate]()
    for one in ordered:
        others = stayed[one.candidate.image]
        if not any(near_duplicates(one.candidate, other, threshold) for other in others):
            others.append(one.candidate)
            out.append(one)
    return out


def keep_top(candidates: Sequence[ScoredCandidate], target_size: int, reading: str = "answer") -> list[ScoredCandidate]:
    """Keep the best pairs of each kind of instruction, kinds in equal shares, and of yes and no as many (see `evenly`).

    A kind with fewer candidates than its share leaves the rest to the others; what does not divide goes to
    the kinds first in the alphabet. Equal scores go by input order.

    Args:
        candidates: scored candidates.
        target_size: how many to keep; all are kept where there are fewer.
        reading: the score to go by.

    Returns:
        What is kept, in input order, records unchanged.

    Raises:
        ValueError: a candidate without scores or with one that is no number, an unknown reading, or a size
            below 0.
    """
    if target_size < 0:
        raise ValueError(f"target_size must not be below 0, not {target_size}")
    kinds: dict[str, list[ScoredCandidate]] = defaultdict(list)
    for i in _ranking(candidates, reading):
        kinds[candidates[i].candidate.instruction.kind].append(candidates[i])
    quotas = equal_quotas({kind: len(own) for kind, own in kinds.items()}, target_size)
    kept = {id(c) for kind, own in kinds.items() for c in evenly(own, quotas[kind])}
    return [c for c in candidates if id(c) in kept]


def evenly(ranked: Sequence[ScoredCandidate], size: int) -> list[ScoredCandidate]:
    """The first `size`, but among those of them that are answered yes or no as many of either.

    To see a thing moves the answer more than not to see it: S(I2C) ranks yes before no whether or not it is true, and
    who learns from its first ones alone learns to say yes. An answer counts by its first word. Where one of the two
    runs out, the other fills its places.

    Args:
        ranked: candidates, the best first.
        size: how many to take; all where there are fewer.
    """
    first = list(ranked[:size])
    places = sum(polarity(one) != "" for one in first)
    yes, no = ([one for one in ranked if polarity(one) == word] for word in ("yes", "no"))
    # an odd one goes to whichever is ranked first
    ahead = next((polarity(one) for one in first if polarity(one)), "")
    half = places // 2 + (places % 2 if ahead == "yes" else 0)
    count = min(max(half, places - len(no)), len(yes))
    return [one for one in first if not polarity(one)] + yes[:count] + no[: places - count]


def polarity(one: ScoredCandidate) -> str:
    """`yes` or `no` where the answer begins with that word, else nothing."""
    said = words(one.candidate.answer)[:1]
    return said[0] if said in (["yes"], ["no"]) else ""


def keep_random_like(
    candidates: Sequence[ScoredCandidate], reference: Sequence[ScoredCandidate], seed: int
) -> list[ScoredCandidate]:
    """The random control of a selection: as many pairs of each kind and answer length, drawn blindly.

    Args:
        candidates: scored candidates, those of the reference among them.
        reference: the selection to match.
        seed: of the draw; the same seed and candidates give the same pairs.

    Returns:
        What is drawn, in input order, records unchanged.

    Raises:
        ValueError: a candidate without scores, or fewer candidates of some kind and length than the reference
            has.
    """
    cells: dict[tuple[str, int], list[int]] = defaultdict(list)
    for i, scored in enumerate(candidates):
        cells[_cell(scored)].append(i)
    draw = random.Random(seed)
    kept: set[int] = set()
    for cell, wanted in sorted(Counter(map(_cell, reference)).items()):
        there = cells[cell]
        if len(there) < wanted:
            kind, tokens = cell
            raise ValueError(f"kind {kind!r} at {tokens} tokens: the reference has {wanted}, candidates {len(there)}")
        kept.update(draw.sample(there, wanted))
    return [c for i, c in enumerate(candidates) if i in kept]


def _group_of(one: ScoredCandidate, by: GroupBy) -> object:
    """What tells the group of a candidate from others."""
    if by not in ("instruction", "image"):
        raise ValueError(f"group_by must be instruction or image, not {by!r}")
    return one.candidate.image if by == "image" else (one.candidate.image, one.candidate.instruction)


def _scores(scored: ScoredCandidate) -> Scores:
    if scored.scores is None:
        raise ValueError(f"{_name(scored)} has no scores")
    return scored.scores


def _score(scored: ScoredCandidate, reading: str) -> float:
    """The reading of a candidate; nan is an error, it would make rankings depend on the input's order."""
    if reading not in _SELECTABLE:
        raise ValueError(f"unknown reading {reading!r}, choose from {', '.join(_SELECTABLE)}")
    value = float(getattr(_scores(scored), reading))
    if not math.isfinite(value):
        raise ValueError(f"{_name(scored)}: its {reading} reading is {value}")
    return value


def _name(scored: ScoredCandidate) -> str:
    candidate = scored.candidate
    return f"candidate of {candidate.image}, kind {candidate.instruction.kind!r}, sample {candidate.sample}"


def _ranking(candidates: Sequence[ScoredCandidate], reading: str) -> list[int]:
    """Indexes from the best score down, ties in input order."""
    return sorted(range(len(candidates)), key=lambda i: (-_score(candidates[i], reading), i))


def _cell(scored: ScoredCandidate) -> tuple[str, int]:
    return scored.candidate.instruction.kind, _scores(scored).tokens


def normalised(text: str) -> str:
    """A text as it counts in comparisons: case, spacing and the signs at its end are ignored."""
    return " ".join(text.casefold().split()).rstrip(_END_PUNCTUATION)


def _same_text(candidate: Candidate) -> tuple[str, str]:
    return normalised(candidate.question), normalised(candidate.answer)


def words(text: str) -> list[str]:
    """The words of a text in order, case ignored."""
    return _WORD.findall(text.casefold())


def _words(candidate: Candidate) -> set[str]:
    return set(words(f"{candidate.question} {candidate.answer}"))


def equal_quotas(available: Mapping[str, int], target_size: int) -> dict[str, int]:
    """Equal shares of `target_size`, at most what each kind has, dealt out in the alphabet's order."""
    quotas = dict.fromkeys(sorted(available), 0)
    left = min(target_size, sum(available.values()))
    while left:
        unfilled = [kind for kind, share in quotas.items() if share < available[kind]][:left]
        for kind in unfilled:
            quotas[kind] += 1
        left -= len(unfilled)
    return quotas
