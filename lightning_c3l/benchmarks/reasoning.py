"""How many answers hold a model's reasoning, and what a reader must know of it."""

from collections.abc import Mapping, Sequence

from lightning_c3l.benchmarks.base import Answer
from lightning_c3l.benchmarks.final_answer import has_reasoning


def reasoning_counts(answers: Sequence[Answer]) -> dict[str, int]:
    """Answers with `reasoning`, and those whose reasoning never ends (`reasoning_open`); {} where there is none."""
    found = [answer for answer in answers if answer.text is not None and has_reasoning(answer.text)]
    return {"reasoning": len(found), "reasoning_open": sum(one.final is None for one in found)} if found else {}


def reasoning_notes(counts: Mapping[str, int]) -> list[str]:
    """One note on what `reasoning_counts` found, none where it found nothing."""
    if not counts.get("reasoning"):
        return []
    note = f"{counts['reasoning']} answers hold reasoning (<think> and the like), which is left out"
    if unclosed := counts["reasoning_open"]:
        note += f"; in {unclosed} of them it never ends: no answer, a parse failure"
    return [note]
