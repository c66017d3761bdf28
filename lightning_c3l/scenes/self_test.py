"""A look at whether generating and scoring work here: one scene, one candidate, a true answer and the prior's."""

from dataclasses import dataclass

from lightning_c3l.functional.random_streams import stream
from lightning_c3l.lvlm.base import InferenceLVLM, Sampling
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.records import exchange
from lightning_c3l.rounds.generation import GenerationConfig, ImageChunk, generate_candidates
from lightning_c3l.rounds.scoring import Context, score_contexts
from lightning_c3l.scenes.worlds import World
from lightning_c3l.selection.scoring_config import ScoringConfig

_KEY, _SEED = "scene", 1


@dataclass(frozen=True)
class SelfTest:
    """What an LVLM makes of a scene in which nothing is as usual.

    Attributes:
        generated: text of its greedy candidate.
        problem: why no question and answer could be read of it; empty where they could.
        true_score: reading `answer` of S(I2C), in nats a token, of a true answer to a question.
        false_score: of the answer that the prior gives to it, which is false here.
    """

    generated: str
    problem: str
    true_score: float
    false_score: float

    @property
    def tells(self) -> bool:
        """Whether the true answer scores above the false one."""
        return self.true_score > self.false_score


def self_test(lvlm: InferenceLVLM, world: World) -> SelfTest:
    """Generate a candidate about one scene of a world, and score two answers about it.

    Args:
        lvlm: base of the world.
        world: what its scene is.

    Raises:
        ValueError: an answer has no score.
    """
    scene = world.sample(_SEED, 0.0)
    image = world.draw(scene)
    writing = GenerationConfig(world.templates, per_image=1, sampling=Sampling(1, world.longest, 0.0))
    (made,) = generate_candidates(lvlm, ImageChunk([_KEY], lambda key: image), writing, seed=0)
    asked = world.choice(scene, next(iter(world.choice_kinds)), stream(_SEED))
    chats = tuple(exchange(asked.wordings[0], answer) for answer in (asked.truth, asked.usual))
    (found,) = score_contexts(
        lvlm, [Context((_KEY,), chats)], lambda key: image, BatchSize(1, "batch size"), ScoringConfig()
    )
    scores = [turn.scores.answer for turn in found if turn.scores is not None]
    if len(scores) < len(chats):
        raise ValueError(f"no score: {'; '.join(turn.reason for turn in found if turn.scores is None)}")
    return SelfTest(made.text, made.rejected, *scores)
