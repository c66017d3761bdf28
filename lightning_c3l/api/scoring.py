"""`score` and `score_candidates`: how much answers owe to their images."""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, get_args, overload

from data_modules.images.given import ImageLike, ImagesLike, given_images, some_of
from lightning_c3l.lvlm.base import InferenceLVLM
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.lvlm.training_mode import eval_mode
from lightning_c3l.records import Candidate, Instruction, ScoredCandidate, exchange
from lightning_c3l.report.text import printable
from lightning_c3l.report.token_values import TokenValues
from lightning_c3l.rounds import scoring as rounds_scoring
from lightning_c3l.rounds.answers import Scorer
from lightning_c3l.rounds.scoring import Context, score_contexts
from lightning_c3l.rounds.templates import labelled
from lightning_c3l.rounds.turn_scores import TurnScore
from lightning_c3l.selection.scoring_config import ScoringConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# what a pair that nobody generated was written for
_GIVEN = Instruction("given", "")


@dataclass(frozen=True)
class ScoredAnswer(ScoredCandidate):
    """A scored pair with the values of its tokens. A notebook shows it as a heat map.

    It is a `ScoredCandidate`, and is taken wherever these are: `scores` holds the readings, in nats a token.

    Attributes:
        tokens: log-probabilities of the answer's tokens with the image and without, with the text of each.
    """

    tokens: TokenValues | None = None

    def to_row(self) -> dict[str, Any]:
        """The pair as candidate files hold it, without the values of its tokens."""
        row = super().to_row()
        del row["tokens"]
        return row

    def plot(self, axes: "Axes | None" = None) -> "Axes":
        """Draw the heat map of the tokens.

        Blue tokens are likelier with the image than without, orange ones less likely; the colour no longer grows at 4
        nats.

        Args:
            axes: where to; their scales and ticks are given up. Default: those of a new figure.

        Returns:
            The axes.

        Raises:
            ValueError: it has no token values.
        """
        # late: whoever only scores need not wait for matplotlib
        from lightning_c3l.report.heat_map import plot_tokens

        if self.tokens is None:
            raise ValueError("this answer has no token values; `score` gives them")
        return plot_tokens(self.tokens, axes)

    def _repr_html_(self) -> str:
        """Question, heat map of the answer and readings, for notebooks; generated text is escaped."""
        from lightning_c3l.report.heat_map import answer_card

        return answer_card(self, self.tokens)


@overload
def score(
    lvlm: InferenceLVLM,
    images: ImageLike,
    question: str,
    answer: str,
    *,
    scorer: Scorer = ...,
    batch_size: int = ...,
    **scoring: Any,
) -> ScoredAnswer: ...


@overload
def score(
    lvlm: InferenceLVLM,
    images: ImagesLike,
    question: str | Sequence[str],
    answer: str | Sequence[str],
    *,
    scorer: Scorer = ...,
    batch_size: int = ...,
    **scoring: Any,
) -> list[ScoredAnswer]: ...


def score(
    lvlm: InferenceLVLM,
    images: ImagesLike,
    question: str | Sequence[str],
    answer: str | Sequence[str],
    *,
    scorer: Scorer = "current",
    batch_size: int = 4,
    **scoring: Any,
) -> ScoredAnswer | list[ScoredAnswer]:
    """Score answers to questions about images, and each of their tokens.

    S(I2C) compares the log-probabilities of an answer with its image and without; see `lightning_c3l.functional.i2c`
    for the formulas of the readings.

    Args:
        lvlm: the LVLM that judges.
        images: an image, or one for each pair; see `generate`. Of several files, the pairs of those that cannot be read
            have no score.
        question: a question, or one for each pair.
        answer: an answer, or one for each pair. What is given once counts for all pairs.
        scorer: "current" for the LVLM as it is; "reference" for the LVLM with its adapter off.
        batch_size: images at once, each with all of its pairs; halved where memory runs out.
        scoring: fields of `ScoringConfig`: `pooling`, how the values of the tokens become that of the answer (`mean`,
            `min_sentence` or `lowest_quarter`); `readings`, a list of your own, such as `["my_reading.surprise"]`, or
            `["__main__.surprise"]` for a function of the notebook; `shuffle_seed`, as for `score_candidates`.

    Returns:
        The scored pair, or a list of them, in the order given, if several images, questions or answers were given. Of
            several, a pair that cannot be scored, for instance because its answer has no token, has no `scores`;
            `candidate.rejected` says why, and so does a warning.

    Raises:
        ValueError: the numbers of images, questions and answers do not go together, there is no image, a reading
            cannot be imported, or no image can be read or no answer be scored.

    Examples:
        >>> import lightning_c3l
        >>> lvlm = lightning_c3l.load("shipped:scenes", device="cpu")
        >>> scenes = lightning_c3l.SceneImages(2, seed=1)
        >>> image = scenes.read(scenes.keys()[0])
        >>> right, wrong = lightning_c3l.score(lvlm, image, "What color are the triangles?", ["green", "red"])
        >>> right.scores.gap > 0 > wrong.scores.gap
        True
        >>> right.tokens.texts
        ('green',)
        >>> axes = right.plot()
    """
    given, config = given_images(images), ScoringConfig(**scoring, token_values=True)
    if config.unit != "answer":
        raise ValueError(f"unit must be answer, not {config.unit!r}; `score_candidates` scores sentences, too")
    pairs = _pairs(given.keys, question, answer)
    by_image = defaultdict[str, list[int]](list)
    for number, (key, _, _) in enumerate(pairs):
        by_image[key].append(number)
    contexts = [Context((key,), tuple(exchange(*pairs[n][1:]) for n in own)) for key, own in by_image.items()]
    with _scoring_with(lvlm, scorer):
        found = score_contexts(lvlm, contexts, given.read, BatchSize(batch_size, "batch_size"), config)
    turns = dict(zip(chain.from_iterable(by_image.values()), chain.from_iterable(found), strict=True))
    out = [_scored_answer(number, *pair, turns[number]) for number, pair in enumerate(pairs)]
    reasons = [_why_not(one.candidate) for one in out if one.scores is None]
    if len(reasons) == len(out):
        raise ValueError(reasons[0])
    if reasons:
        warnings.warn(some_of(reasons, len(out), "pairs have no score"), stacklevel=2)
    is_one = given.is_one and isinstance(question, str) and isinstance(answer, str)
    return out[0] if is_one else out


def score_candidates(
    lvlm: InferenceLVLM,
    images: ImagesLike,
    candidates: Sequence[Candidate],
    *,
    scorer: Scorer = "current",
    batch_size: int = 4,
    **scoring: Any,
) -> list[ScoredCandidate]:
    """Score candidates that `generate` has made; `score` gives the values of tokens too.

    Args:
        lvlm: the LVLM that judges.
        images: as they were given to `generate`.
        candidates: those to score; rejected ones stay as they are.
        scorer: "current" for the LVLM as it is; "reference" for the LVLM with its adapter off, which is what rounds and
            exported data sets are scored by.
        batch_size: images at once, each with all of its candidates; halved where memory runs out.
        scoring: fields of `ScoringConfig`: `shuffle_seed`, which scores each answer with another image too, the control
            of the score, chosen by this seed; `pooling` and `readings`, as for `score`; `unit="sentence"`, which
            leaves out the sentences that the image does not support.

    Returns:
        The candidates in their order, with their readings; one that cannot be scored, or whose image cannot be read, is
            rejected with the reason.

    Raises:
        ValueError: a candidate is about none of the images, or a reading cannot be imported.

    Examples:
        >>> import lightning_c3l
        >>> lvlm = lightning_c3l.load("shipped:scenes", device="cpu")
        >>> scenes = lightning_c3l.SceneImages(2, seed=1)
        >>> candidates = lightning_c3l.generate(lvlm, scenes, "scenes", samples=2, max_new_tokens=24)
        >>> scored = lightning_c3l.score_candidates(lvlm, scenes, candidates)
        >>> best = max(scored, key=lambda one: one.scores.answer if one.scores else 0.0)
        >>> best.candidate.question, best.candidate.answer
        ('How many triangles are there?', 'one')
    """
    given, config, size = given_images(images), ScoringConfig(**scoring), BatchSize(batch_size, "batch_size")
    given.require(one.image for one in candidates)
    with _scoring_with(lvlm, scorer):
        return rounds_scoring.score_candidates(lvlm, candidates, given.read, size, config)


@contextmanager
def _scoring_with(lvlm: InferenceLVLM, scorer: Scorer) -> Iterator[None]:
    """Within this context, the LVLM has the weights that score, and is in eval mode, which training may have left."""
    if scorer not in get_args(Scorer):
        raise ValueError(f"scorer must be one of {', '.join(get_args(Scorer))}, not {scorer!r}")
    # one that cannot be trained is its own reference
    reference = getattr(lvlm, "reference", nullcontext) if scorer == "reference" else nullcontext
    with eval_mode(lvlm.network), reference():
        yield


def _pairs(
    keys: Sequence[str], question: str | Sequence[str], answer: str | Sequence[str]
) -> list[tuple[str, str, str]]:
    """Image key, question and answer of each pair; what there is one of counts for all."""
    columns = [list(keys), *([one] if isinstance(one, str) else list(one) for one in (question, answer))]
    counts = list(map(len, columns))
    if any(count not in (1, max(counts)) for count in counts):
        raise ValueError("{} images, {} questions and {} answers: give one of a kind, or as many".format(*counts))
    images, questions, answers = (own * max(counts) if len(own) == 1 else own for own in columns)
    return list(zip(images, questions, answers, strict=True))


def _scored_answer(number: int, image: str, question: str, answer: str, turn: TurnScore) -> ScoredAnswer:
    rejected = "" if turn.scores else turn.reason
    candidate = Candidate(image, _GIVEN, number, labelled(question, answer), question, answer, rejected)
    return ScoredAnswer(candidate, turn.scores, turn.shuffled, tokens=turn.tokens)


def _why_not(pair: Candidate) -> str:
    return f"pair {pair.sample + 1} ({printable(f'{pair.question} {pair.answer}', 80)}): {pair.rejected}"
