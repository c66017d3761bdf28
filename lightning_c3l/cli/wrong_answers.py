"""Wrong answers of a run of `test`, as its page shows them."""

import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lightning_c3l.evaluation.benchmarks import NAMES, load_scored
from lightning_c3l.evaluation.benchmarks.answers import read_answers
from lightning_c3l.evaluation.benchmarks.matching import match_answers
from lightning_c3l.evaluation.result_files import ANSWERS, BLIND_ANSWERS, EVALUATION, JUDGED
from lightning_c3l.evaluation.shown_answers import right_answers, said, some_pairs
from lightning_c3l.report.figures import nested
from lightning_c3l.report.gallery import GalleryPair
from lightning_c3l.runs import manifest

_MOST = 12


def wrong_answers(folder: Path) -> list[GalleryPair]:
    """Some answers that count as wrong by the protocol of the headline, in the order of their questions.

    There are none where a judge rates the answers, or where the benchmark is code of the user's own, which only a run
    imports. What cannot be read is told in a warning.

    Args:
        folder: of the run.
    """
    try:
        return list(islice(_wrong(folder), _MOST))
    except FileNotFoundError:  # nothing could be scored
        return []
    except (ValueError, OSError) as error:
        warnings.warn(f"{error}; no answers are shown", stacklevel=2)
        return []


def _wrong(folder: Path) -> Iterator[GalleryPair]:
    told = manifest.read(folder / EVALUATION)
    name, protocol = told.get("benchmark"), nested(told, "headline").get("protocol")
    if name not in NAMES or name == JUDGED:
        return
    benchmark = load_scored(name)
    if protocol not in benchmark.protocols:
        raise ValueError(f"{folder / EVALUATION}: {name} has no protocol {protocol!r}")
    file = next((folder / one for one in (ANSWERS, BLIND_ANSWERS) if (folder / one).is_file()), folder / ANSWERS)
    pairs = match_answers(benchmark, None, read_answers([file], benchmark), partial=True).pairs
    shown = some_pairs(pairs)
    for (question, answer), right in zip(shown, right_answers(benchmark, pairs, shown, protocol), strict=True):
        if right is False:
            options = [f"{letter}. {text}" for letter, text in question.options.items()]
            yield GalleryPair(
                image=question.image or "",
                section="wrong",
                kind=", ".join(question.splits or question.categories.values()),
                verdict="wrong",
                question="\n".join([question.text, *options]),
                answer=said(question, answer) or "no answer",
                reason=f"right is {question.truth}",
                name=f"question {question.id}",
            )
