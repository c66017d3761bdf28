"""Other answers to the questions of positives: what the language prior says, as negatives of their groups."""

from collections.abc import Sequence

from lightning_c3l.lvlm.base import GenerationRequest, Sampling, TextGenerator
from lightning_c3l.lvlm.batch_size import BatchSize
from lightning_c3l.records import Candidate, Origin, ScoredCandidate
from lightning_c3l.rounds.generation import ImageChunk, text_seed
from lightning_c3l.rounds.scoring import partners
from lightning_c3l.rounds.templates import parse
from lightning_c3l.selection.pseudo_labels import PseudoLabelConfig, grouped, select_group


def positives(scored: Sequence[ScoredCandidate], config: PseudoLabelConfig) -> list[Candidate]:
    """The positive of each group that has one.

    Args:
        scored: all candidates of some images.
        config: how pseudo-labels are chosen.
    """
    groups = (select_group(own, config)[0] for own in grouped(scored, config.group_by))
    return [group.positive.candidate for group in groups if group is not None]


def prior_answers(
    lvlm: TextGenerator,
    questions: Sequence[Candidate],
    images: ImageChunk,
    origins: Sequence[Origin],
    sampling: Sampling,
    seed: int,
    size: BatchSize,
) -> list[Candidate]:
    """Answers to the questions of candidates, given without their image or about another one.

    An answer depends on (seed, image key, instruction, question, origin, sample) and, about another image, on that.

    Args:
        lvlm: answers.
        questions: candidates whose questions are answered.
        images: those of the candidates; the next one in a shuffled circle of them is the other image.
        origins: of the answers: "blind" for answers without image, "shuffled" for answers about another one.
        sampling: how the answers are sampled.
        seed: of the samples and of the circle.
        size: prompts per batch.

    Returns:
        `sampling.samples` candidates for each question and origin, in the form of the text that the question is from;
        none about another image where there is no other.
    """
    others = partners([(key,) for key in images.keys], seed)
    asked = [(one, origin) for one in questions for origin in origins if origin != "shuffled" or (one.image,) in others]
    requests = [
        GenerationRequest(
            one.question,
            images.read(others[one.image,][0]) if origin == "shuffled" else None,
            text_seed(seed, one.image, one.instruction, one.question, origin),
        )
        for one, origin in asked
    ]
    texts = size.run(lambda batch: lvlm.generate(requests, sampling, batch)) if requests else []
    return [
        other_answer(one, text, origin, sampling.samples * (1 + origins.index(origin)) + number)
        for (one, origin), own in zip(asked, texts, strict=True)
        for number, text in enumerate(own)
    ]


def other_answer(candidate: Candidate, text: str, origin: Origin, sample: int) -> Candidate:
    """The candidate with another answer in the place of its own; rejected if it cannot be read as an answer.

    Args:
        candidate: a parsed one.
        text: the other answer.
        origin: how it was given.
        sample: its number within the group.
    """
    image, instruction, question = candidate.image, candidate.instruction, candidate.question
    parsed = parse(_labelled(question, text))
    if parsed.question != question:
        reason = parsed.rejected or "question cannot be read again"
        return Candidate(image, instruction, sample, text, rejected=reason, origin=origin)
    answer, start = parsed.answer, candidate.text.rfind(candidate.answer)
    whole = candidate.text[:start] + answer + candidate.text[start + len(candidate.answer) :]
    found = parse(whole)
    if start < 0 or (found.question, found.answer) != (question, answer):
        # the parser has tidied the answer, or what follows says it again
        whole = _labelled(question, answer)
    return Candidate(image, instruction, sample, whole, question, answer, origin=origin)


def _labelled(question: str, answer: str) -> str:
    return f"Question: {question}\nAnswer: {answer}"
