"""Conversations -> scores of every answer: all readings of S(I2C), and the shuffled-image control."""

import warnings
from collections import defaultdict
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from PIL.Image import Image

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.base import AnswerScorer, AnswerTokens, ConversationError, ImageError
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.records import Candidate, ScoredCandidate, Turn, exchange
from lightning_c3l.report.progress import Stage, stage
from lightning_c3l.rounds.generation import Read
from lightning_c3l.rounds.turn_scores import NO_SENTENCE, NOT_FINITE, TurnScore, turn_scores
from lightning_c3l.selection.scoring_config import ScoringConfig
from lightning_c3l.selection.sentences import without_spans


@dataclass(frozen=True)
class Context:
    """Conversations about the same images.

    Attributes:
        images: their keys.
        chats: turns of each conversation.
    """

    images: tuple[str, ...]
    chats: tuple[tuple[Turn, ...], ...]

    @property
    def length(self) -> int:
        """Characters in all."""
        return sum(len(turn.text) for chat in self.chats for turn in chat)


# scores of the answers in each context, by its images
Known = MutableMapping[tuple[str, ...], list[TurnScore]]


def score_contexts(
    lvlm: AnswerScorer,
    contexts: Sequence[Context],
    read: Read,
    batch_size: BatchSize,
    config: ScoringConfig,
    progress: Stage | None = None,
    known: Known | None = None,
) -> list[list[TurnScore]]:
    """Score every turn of the assistant.

    Args:
        lvlm: scores them (inside `lvlm.reference()` for the starting model).
        contexts: any.
        read: returns the image of a key.
        batch_size: contexts per batch; halved if memory runs out.
        config: how answers are scored.
        progress: stage that is advanced by the number of answers.
        known: scores that exist already, by the context's images, which must be distinct then; new ones are added.
            A batch is skipped if all of its contexts are known, so that batches do not depend on what is known.

    Returns:
        For each context its answers, conversation after conversation.
    """
    seed = config.shuffle_seed
    others = {} if seed is None else partners([one.images for one in contexts], seed)
    out: list[list[TurnScore]] = [[] for _ in contexts]
    for control in (True, False):
        waiting = [n for n, one in enumerate(contexts) if (one.images in others) == control]
        # contexts that are alike in length stand together: little of a batch is padding
        waiting.sort(key=lambda n: contexts[n].length, reverse=True)
        while waiting:
            todo, shuffled = [contexts[n] for n in waiting], others if control else None
            first = partial(_score_first, lvlm, config, todo, read, shuffled, {} if known is None else known)
            for number, scored in zip(waiting, found := batch_size.run(first), strict=False):
                out[number] = scored
                if known is not None:
                    known[contexts[number].images] = scored
                if progress is not None:
                    progress.update(len(scored))
            waiting = waiting[len(found) :]
    return out


def score_candidates(
    lvlm: AnswerScorer,
    candidates: Sequence[Candidate],
    read: Read,
    batch_size: BatchSize,
    config: ScoringConfig,
    progress: str = "score",
    known: Known | None = None,
) -> list[ScoredCandidate]:
    """Score the candidates that could be parsed.

    Identical pairs about one image are scored once, so that their scores are equal to the last digit.

    Args:
        lvlm: scores them (inside `lvlm.reference()` for the starting model).
        candidates: any.
        read: returns the image of a key.
        batch_size: images per batch, each with all of its candidates; halved if memory runs out.
        config: how answers are scored; where the unit is a sentence, candidates lose those that are not supported.
        progress: name of the stage.
        known: as in `score_contexts`.

    Returns:
        All candidates, in their order; those without a usable score are marked as rejected.
    """
    by_image = _pairs(candidates)
    contexts = [Context((image,), tuple(exchange(*pair) for pair in own)) for image, own in by_image.items()]
    total = sum(map(len, by_image.values()))
    with stage(progress, "pairs", total) as shown:
        found = score_contexts(lvlm, contexts, read, batch_size, config, shown, known)
    out = with_scores(candidates, dict(zip(by_image, found, strict=True)))
    for one in (s.candidate for s in out if s.candidate.rejected == NOT_FINITE):
        warnings.warn(
            f"image {one.image}, group {one.instruction.kind!r}, text {one.sample}: its score is not a finite number; "
            "the pair is dropped",
            stacklevel=2,
        )
    return out


def with_scores(candidates: Sequence[Candidate], scores: Mapping[str, Sequence[TurnScore]]) -> list[ScoredCandidate]:
    """Candidates with the scores of the different pairs of each image.

    A pair that has no score, or none that is a number, is rejected with the reason: it must not win or spoil a mean.
    """
    out = [ScoredCandidate(one) for one in candidates]
    for image, own in _pairs(candidates).items():
        for numbers, score in zip(own.values(), scores[image], strict=True):
            for number in numbers:
                out[number] = _with_score(candidates[number], score)
    return out


def _with_score(candidate: Candidate, score: TurnScore) -> ScoredCandidate:
    if score.scores is None:
        return ScoredCandidate(replace(candidate, rejected=score.reason))
    kept = score.supported
    if kept is None or not kept.dropped:
        return ScoredCandidate(candidate, score.scores, score.shuffled)
    dropped = tuple(candidate.answer[start:end] for start, end in kept.dropped)
    if kept.scores is None:
        return ScoredCandidate(replace(candidate, rejected=NO_SENTENCE), dropped=dropped)
    shorter = replace(candidate, answer=without_spans(candidate.answer, kept.dropped))
    return ScoredCandidate(shorter, kept.scores, kept.shuffled, dropped=dropped)


def _pairs(candidates: Sequence[Candidate]) -> dict[str, dict[tuple[str, str], list[int]]]:
    """Of each image the different pairs, each with the numbers of the candidates that say so."""
    by_image = defaultdict[str, dict[tuple[str, str], list[int]]](dict)
    for number, one in enumerate(candidates):
        if not one.rejected:
            by_image[one.image].setdefault((one.question, one.answer), []).append(number)
    return by_image


def score_pairs(
    lvlm: AnswerScorer,
    images: Sequence[Image],
    pairs: Sequence[Sequence[tuple[str, str]]],
    shuffled: Sequence[Image] | None = None,
) -> AnswerTokens:
    """Token statistics of (question, answer) pairs about one image each, image by image."""
    chats = [[exchange(question, answer) for question, answer in own] for own in pairs]
    return lvlm.score([(one,) for one in images], chats, None if shuffled is None else [(one,) for one in shuffled])


def partners(images: Sequence[tuple[str, ...]], seed: int) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Other images for each set of images, as many of them: the next set in a shuffled circle."""
    circles = defaultdict[int, list[tuple[str, ...]]](list)
    for own in dict.fromkeys(images):
        circles[len(own)].append(own)
    out = dict[tuple[str, ...], tuple[str, ...]]()
    for circle in circles.values():
        if len(circle) > 1:
            stream(seed).shuffle(circle)
            out |= dict(zip(circle, circle[1:] + circle[:1], strict=True))
    return out


def _score_first(
    lvlm: AnswerScorer,
    config: ScoringConfig,
    waiting: Sequence[Context],
    read: Read,
    partners: dict[tuple[str, ...], tuple[str, ...]] | None,
    known: Known,
    size: int,
) -> list[list[TurnScore]]:
    """The answers of the first `size` contexts that wait."""
    batch = waiting[:size]
    there = [known[one.images] for one in batch if one.images in known]
    answers = [sum(turn.role == "assistant" for chat in one.chats for turn in chat) for one in batch]
    if list(map(len, there)) == answers:
        return there
    return _score_batch(lvlm, config, batch, read, partners)


def _score_batch(
    lvlm: AnswerScorer,
    config: ScoringConfig,
    batch: Sequence[Context],
    read: Read,
    partners: dict[tuple[str, ...], tuple[str, ...]] | None,
) -> list[list[TurnScore]]:
    chats = [one.chats for one in batch]
    shuffled = None if partners is None else [[read(key) for key in partners[one.images]] for one in batch]
    try:
        tokens = lvlm.score([[read(key) for key in one.images] for one in batch], chats, shuffled)
        texts = lvlm.answer_texts(chats) if config.needs_texts else []
    except (ConversationError, ImageError) as error:
        if len(batch) > 1:  # the others need not go with it
            return [scored for one in batch for scored in _score_batch(lvlm, config, [one], read, partners)]
        return [_refused(lvlm, config, batch[0], read, partners, str(error))]
    answers = [turn.text for own in chats for chat in own for turn in chat if turn.role == "assistant"]
    turns = iter(turn_scores(tokens, config, answers, texts))
    return [[next(turns) for chat in own for turn in chat if turn.role == "assistant"] for own in chats]


def _refused(
    lvlm: AnswerScorer,
    config: ScoringConfig,
    context: Context,
    read: Read,
    partners: dict[tuple[str, ...], tuple[str, ...]] | None,
    reason: str,
) -> list[TurnScore]:
    """Of several conversations each alone, since one may be at fault; of one its turns up to where it can be read."""
    if len(context.chats) > 1:
        alone = (replace(context, chats=(chat,)) for chat in context.chats)
        return [found for one in alone for found in _score_batch(lvlm, config, [one], read, partners)[0]]
    (chat,) = context.chats
    answers = [number for number, turn in enumerate(chat) if turn.role == "assistant"]
    last = [TurnScore(None, reason=reason)] * min(1, len(answers))
    if partners is not None:  # it may be the other images that do not fit
        last = _score_batch(lvlm, config, [context], read, None)[0][-1:]
    if len(answers) < 2:
        return last
    shorter = replace(context, chats=(chat[: answers[-2] + 1],))
    return [*_score_batch(lvlm, config, [shorter], read, partners)[0], *last]
