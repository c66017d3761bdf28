"""Scored candidates for tests of what chooses among them."""

from lightning_c3l.records import Candidate, Instruction, ScoredCandidate, Scores


def scored(
    answer_score: float | None,
    sample: int = 0,
    question: str | None = None,
    answer: str = "red",
    image: str = "a.png",
    kind: str = "short",
    tokens: int = 1,
    gap: float = 0.0,
) -> ScoredCandidate:
    """A candidate whose `answer` reading is the first argument, None for a rejected one."""
    question = f"What is thing{sample}?" if question is None else question
    instruction = Instruction(kind, f"Write a {kind} pair.")
    if answer_score is None:
        return ScoredCandidate(Candidate(image, instruction, sample, "junk", rejected="no question"))
    candidate = Candidate(image, instruction, sample, f"{question} {answer}", question, answer)
    return ScoredCandidate(candidate, Scores(answer_score, 0.0, 0.0, gap, -1.0, -2.0, tokens))
