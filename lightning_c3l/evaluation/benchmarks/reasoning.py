"""How many answers hold a model's reasoning or are objects, and what a reader must know of it."""

from collections.abc import Mapping, Sequence

from lightning_c3l.evaluation.benchmarks.base import Answer
from lightning_c3l.evaluation.benchmarks.final_answer import has_reasoning, written_object


def reasoning_counts(answers: Sequence[Answer]) -> dict[str, int]:
    """Answers with `reasoning`, those whose reasoning never ends (`reasoning_open`), and `objects`; {} without any."""
    found = [answer for answer in answers if answer.text is not None and has_reasoning(answer.text)]
    counts = {"reasoning": len(found), "reasoning_open": sum(one.final is None for one in found)} if found else {}
    objects = sum(answer.text is not None and written_object(answer.text) is not None for answer in answers)
    return counts | ({"objects": objects} if objects else {})


def reasoning_notes(counts: Mapping[str, int]) -> list[str]:
    """Notes on what `reasoning_counts` found."""
    notes = []
    if objects := counts.get("objects"):
        notes.append(f'{objects} answers are objects ({{"answer": ...}} and the like), of which the text is read')
    if not counts.get("reasoning"):
        return notes
    note = f"{counts['reasoning']} answers hold reasoning (<think> and the like), which is left out"
    if unclosed := counts["reasoning_open"]:
        note += f"; in {unclosed} of them it never ends: no answer, a parse failure"
    return [*notes, note]
