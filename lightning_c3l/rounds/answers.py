"""Other answers to the questions of candidates: what the language prior says, and what the starting model says."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Literal

from lightning_c3l.lvlm.base import GenerationRequest, Sampling, TextGenerator
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.records import Candidate, Instruction, Origin, ScoredCandidate
from lightning_c3l.rounds.generation import ImageChunk, text_seed
from lightning_c3l.rounds.scoring import partners
from lightning_c3l.rounds.templates import labelled, parse
from lightning_c3l.selection.pseudo_labels import PseudoLabelConfig, grouped, select_group

Scorer = Literal["reference", "current"]


def positives(scored: Sequence[ScoredCandidate], config: PseudoLabelConfig) -> list[Candidate]:
    """The positive of each group that has one.

    Args:
        scored: all candidates of some images.
        config: how pseudo-labels are chosen.
    """
    groups = (select_group(own, config)[0] for own in grouped(scored, config.group_by))
    return [group.positive.candidate for group in groups if group is not None]


class AnswerGenerator:
    """Answers the questions of candidates once more.

    Args:
        lvlm: answers.
        scoring: returns a context in which it has the weights of a scorer.
        sampling: how negatives are sampled; `samples` for each positive and origin.
        size: prompts per batch.
    """

    def __init__(
        self,
        lvlm: TextGenerator,
        scoring: Callable[[Scorer], AbstractContextManager[None]],
        sampling: Sampling,
        size: BatchSize,
    ) -> None:
        self._lvlm, self._scoring, self._sampling, self._size = lvlm, scoring, sampling, size

    def prior(
        self, questions: Sequence[Candidate], images: ImageChunk, origins: Sequence[Origin], seed: int, scorer: Scorer
    ) -> list[Candidate]:
        """What the scorer answers to the questions of candidates without their image, or about another one.

        An answer depends on (seed, image key, instruction, question, origin, sample) and, about another image, on that.

        Args:
            questions: candidates whose questions are answered.
            images: those of the candidates; the next one in a shuffled circle of them is the other image.
            origins: of the answers: "blind" for answers without image, "shuffled" for answers about another one.
            seed: of the samples and of the circle.
            scorer: answers.

        Returns:
            Candidates in the form of the text that the question is from; none about another image where there is none.
        """
        others, samples = partners([(key,) for key in images.keys], seed), self._sampling.samples
        asked = [
            (one, origin) for one in questions for origin in origins if origin != "shuffled" or (one.image,) in others
        ]
        requests = [
            GenerationRequest(
                one.question,
                images.read(others[one.image,][0]) if origin == "shuffled" else None,
                text_seed(seed, one.image, one.instruction, one.question, origin),
            )
            for one, origin in asked
        ]
        return [
            other_answer(one, text, origin, samples * (1 + origins.index(origin)) + number)
            for (one, origin), texts in zip(asked, self._generate(requests, self._sampling, scorer), strict=True)
            for number, text in enumerate(texts)
        ]

    def replayed(self, scored: Sequence[ScoredCandidate], images: ImageChunk) -> list[Candidate]:
        """What the starting model answers, greedily, to the first usable question of each image and instruction.

        Args:
            scored: all candidates of some images.
            images: those of the candidates.

        Returns:
            Candidates whose instruction is the question and whose text is the answer; none where that is empty.
        """
        first = dict[tuple[str, Instruction], Candidate]()
        for one in (one.candidate for one in scored if one.scores is not None):
            first.setdefault((one.image, one.instruction), one)
        requests = [GenerationRequest(one.question, images.read(one.image)) for one in first.values()]
        greedy = Sampling(1, self._sampling.max_new_tokens, 0.0)
        asked = (replace(one, instruction=Instruction(one.instruction.kind, one.question)) for one in first.values())
        return [
            replace(one, sample=0, text=text, answer=text, origin="replay")
            for one, (text,) in zip(asked, self._generate(requests, greedy, "reference"), strict=True)
            if text
        ]

    def _generate(self, requests: Sequence[GenerationRequest], sampling: Sampling, scorer: Scorer) -> list[list[str]]:
        if not requests:
            return []
        with self._scoring(scorer):
            return self._size.run(lambda batch: self._lvlm.generate(requests, sampling, batch))


def other_answer(candidate: Candidate, text: str, origin: Origin, sample: int) -> Candidate:
    """The candidate with another answer in the place of its own; rejected if it cannot be read as an answer.

    Args:
        candidate: a parsed one.
        text: the other answer.
        origin: how it was given.
        sample: its number within the group.
    """
    image, instruction, question = candidate.image, candidate.instruction, candidate.question
    parsed = parse(labelled(question, text))
    if parsed.question != question:
        reason = parsed.rejected or "question cannot be read again"
        return Candidate(image, instruction, sample, text, rejected=reason, origin=origin)
    answer, start = parsed.answer, candidate.text.rfind(candidate.answer)
    whole = candidate.text[:start] + answer + candidate.text[start + len(candidate.answer) :]
    found = parse(whole)
    if start < 0 or (found.question, found.answer) != (question, answer):
        # the parser has tidied the answer, or what follows says it again
        whole = labelled(question, answer)
    return Candidate(image, instruction, sample, whole, question, answer, origin=origin)
