"""Facts of the data card of a written data set: who wrote it about what, how it was chosen, what to know before use."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lightning_c3l.report.figures import nested
from lightning_c3l.report.text import number
from lightning_c3l.selection.candidates import CandidateSelection
from lightning_c3l.selection.card import CardFacts


@dataclass(frozen=True)
class WrittenSet:
    """A data set that a model wrote about images.

    Attributes:
        run: name and version of the run.
        images: name of the source of the images.
        model: name of the model before training.
        weights: which of its weights wrote the set.
        fingerprint: its digest before training.
        seed: of the run.
        reading: reading of S(I2C) that chose.
        target_size: pairs that were asked for.
        figures: part `dataset` of summary.json.
    """

    run: str
    images: str
    model: str
    weights: str
    fingerprint: str
    seed: int
    reading: str
    target_size: int
    figures: Mapping[str, Any]


def card_facts(written: WrittenSet, selected: CandidateSelection, summary: Mapping[str, Any]) -> CardFacts:
    """What the data card tells.

    Args:
        written: the data set.
        selected: its selection from all candidates.
        summary: what summary.json of the run says so far.
    """
    return CardFacts(
        name="vlit.json",
        source="vlit-candidates.jsonl",
        columns=selected.columns,
        selection=selected.selection,
        control=None,
        of_control=False,
        by=written.reading,
        turns="mean",
        scored_with={"model": f"{written.model}, before training", "fingerprint": written.fingerprint},
        command=str(nested(summary, "run").get("command") or ""),
        seed=written.seed,
        origin={
            "run": written.run,
            "questions and answers written by": f"{written.model}, {written.weights}",
            "images": written.images,
            "seed": str(written.seed),
        },
        notes=tuple(_notes(written, selected, nested(summary, "guard"))),
    )


def _notes(written: WrittenSet, selected: CandidateSelection, guard: Mapping[str, Any]) -> Iterator[str]:
    """What somebody who trains on the set should know."""
    figures, pairs = written.figures, int(selected.chosen.sum())
    yield "A model wrote the questions and the answers. Nobody has read them: expect some that are wrong."
    if (truth := figures.get("truth_rate")) is None:
        yield (
            "How many are true is not known. S(I²C) says how much an answer depends on its image, which is not whether "
            "it is right."
        )
    else:
        chance, all_texts = (number(figures.get(key)) for key in ("random_truth_rate", "written_truth_rate"))
        yield (
            f"{number(truth)} of the pairs are true; of a random choice with the same kinds and lengths {chance}, of "
            f"all texts {all_texts}."
        )
    if pairs < written.target_size:
        yield f"{written.target_size:,} pairs were asked for; {pairs:,} different ones were written."
    if "sentences_dropped" in figures:
        yield (
            f"{figures['pairs_shortened']:,} pairs have lost {figures['sentences_dropped_from_pairs']:,} sentences "
            f"that the image does not support; {figures['answers_without_sentence']:,} answers lost all of theirs."
        )
    if selected.selection.yes_no:
        yield f"S(I²C) ranks yes and no apart, true or not: {selected.selection.yes_no}."
    states = guard.get("states") or []
    broken = [f"state {one.get('round')}: {why}" for one in states for why in one.get("tripped") or []]
    if broken:
        yield f"Limits of the guard were broken in training ({'; '.join(broken)})."
