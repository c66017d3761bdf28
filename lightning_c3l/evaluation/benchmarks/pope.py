"""POPE (Li et al., 2023): does the picture show this object? Yes or no, in three splits."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.evaluation.benchmarks.adding import add_question, check_fields
from lightning_c3l.evaluation.benchmarks.base import Question, QuestionSet
from lightning_c3l.evaluation.benchmarks.cells import id_of, plain, short, text_of, version_of, whole_of
from lightning_c3l.evaluation.benchmarks.pictures import carried_pictures
from lightning_c3l.evaluation.benchmarks.rows import Row, read_rows
from lightning_c3l.evaluation.benchmarks.scored import Asked, Pair, Scored
from lightning_c3l.evaluation.benchmarks.yes_no import reference_yes_no, strict_yes_no
from lightning_c3l.evaluation.metrics.yes_no import (
    NO,
    UNPARSABLE,
    YES,
    mean_f1,
    split_figures,
    yes_no_cells,
    yes_no_counts,
    yes_no_figures,
)

SPLITS = ("random", "popular", "adversarial")
# what file names call them; lmms-eval's tasks are pope_adv, pope_pop and pope_random
_NAMED = {"random": "random", "popular": "popular|pop", "adversarial": "adversarial|adv"}
_ASKED = "Answer the question using a single word or phrase."
# LLaVA numbers the questions of all splits in one file: what it adds to a split's own numbers.
_OFFSET = 10_000_000
_OFFSET_SPLITS = ("adversarial", "random", "popular")
_SAID = {"no": NO, "yes": YES, None: UNPARSABLE}
_SUFFIXES = (".json", ".jsonl", ".tsv", ".csv", ".xlsx")


class Pope:
    """POPE's files, prompt and two readings of an answer."""

    name = "pope"
    protocols: tuple[str, ...] = ("reference", "strict")

    def read_questions(self, paths: Sequence[Path]) -> QuestionSet:
        """Read question files, one a split, or a folder of them, or one file whose rows name their splits.

        Raises:
            OSError: a file cannot be read.
            ValueError: names the file, the record and what is wrong.
        """
        files = self.files(paths)
        found: dict[str, Question] = {}
        pictures: dict[str, bytes] = {}
        for file in files:
            rows = read_rows(file)
            images, own = carried_pictures(rows) if "index" in rows[0] else (None, {})
            pictures |= own
            for number, row in enumerate(rows, start=1):
                question = _question(f"{file}, record {number}", row, split_of_name(file))
                if images:
                    question = replace(question, image=images[number - 1])
                add_question(found, question, f"{file}, record {number}")
        return QuestionSet(tuple(found.values()), version_of(files), ", ".join(map(str, files)), pictures)

    def files(self, paths: Sequence[Path]) -> list[Path]:
        """Files, and of a folder those whose names say a split.

        Raises:
            ValueError: a folder holds none.
        """
        return [file for path in paths for file in _files(path)]

    def prompt(self, question: Question) -> str:
        """The question and the request for a short answer, as LLaVA-1.5 was evaluated."""
        return f"{question.text}\n{_ASKED}"

    def unit(self, question: Question) -> str:
        """Each question stands for itself."""
        return question.id

    def question_ids(self, rows: Sequence[Asked], questions: Sequence[Question]) -> list[str]:
        """By the row's own splits, by LLaVA's numbers over all splits, or by a number that one question alone has.

        Rows of lmms-eval's `pope` name no split and repeat the numbers, split after split: see `_split_after_split`.

        Raises:
            ValueError: a number may be of several splits.
        """
        ids = {question.id for question in questions}
        ends = Counter(name.rpartition("/")[2] for name in ids)
        own = {name.rpartition("/")[2]: name for name in ids if ends[name.rpartition("/")[2]] == 1}
        splits = {question.splits for question in questions}
        only = splits.pop() if len(splits) == 1 else ()
        if any((whole_of(row.id) or 0) >= _OFFSET for row in rows):
            return [row.id if row.id in ids else _offset_id(row.id, row.splits) for row in rows]
        if not only and not any(row.splits for row in rows) and (found := _split_after_split(rows, questions)):
            return found
        return [row.id if row.id in ids else _question_id(row.id, row.splits or only, own) for row in rows]

    def says_truth(self, truth: str, options: Mapping[str, str]) -> str:
        """Yes or no in small letters."""
        word = truth.strip().strip(".").lower()
        return word if word in ("yes", "no") else ""

    def needs(self, protocol: str) -> str:
        """Both readings need what was written."""
        return "text"

    def columns(
        self, pairs: Sequence[Pair], protocol: str
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """What was said and what is true, `[N]`, and the splits of each question, `[N, S]`."""
        read = reference_yes_no if protocol == "reference" else strict_yes_no
        # where nothing could be asked, or the reasoning never ended, silence is no answer
        finals = [None if answer.problem else answer.final for _, answer in pairs]
        said = [UNPARSABLE if final is None else _SAID[read(final)] for final in finals]
        truth = [_SAID[question.truth] for question, _ in pairs]
        members = [[split in question.splits for split in SPLITS] for question, _ in pairs]
        return (
            np.array(said, dtype=np.int64),
            np.array(truth, dtype=np.int64),
            np.array(members, dtype=bool).reshape(-1, len(SPLITS)),
        )

    def score(self, pairs: Sequence[Pair], protocol: str) -> Scored:
        """Mean F1, and all figures of each split."""
        said, truth, members = self.columns(pairs, protocol)
        cells, counts = yes_no_cells(said, truth), yes_no_counts(said, truth, members)
        by_split = split_figures(counts, SPLITS)
        # a question of several splits counts in each, as where every split is a file of its own
        pooled = yes_no_figures(counts.sum(0))
        return Scored(
            headline=float(mean_f1(counts)),
            n=len(pairs),
            unparsable=int((said == UNPARSABLE).sum()),
            figures={"pooled_f1": float(pooled["f1"]), "yes_ratio": float(pooled["yes_ratio"])},
            tables={"split": by_split},
            parts=[cells[members[:, place]] for place in range(len(SPLITS))],
            figure=lambda totals: mean_f1(totals.reshape(*totals.shape[:-1], 2, 3)),
            right=said == truth,
            meaning=_mean_of(by_split),
        )

    def notes(self, pairs: Sequence[Pair], protocol: str) -> list[str]:
        """What silence is worth."""
        empty = sum(answer.silent for _, answer in pairs)
        if protocol == "reference":
            return [
                "everything that is not a no is read as yes: an LVLM that prints nothing gets F1 0.667 on a "
                f"balanced split; answers that are empty: {empty}"
            ]
        return [f"an answer with both or neither of yes and no counts as wrong; answers that are empty: {empty}"]


def pope_id(splits: Sequence[str], number: str) -> str:
    """Name of a question: its splits and its number in them."""
    return f"{','.join(split for split in SPLITS if split in splits)}/{number}"


def split_of_name(path: Path) -> tuple[str, ...]:
    """The split that a file's name gives, none where it gives none or several."""
    name = path.name.lower()
    found = tuple(split for split in SPLITS if re.search(rf"(?<![a-z])(?:{_NAMED[split]})(?![a-z])", name))
    return found if len(found) == 1 else ()


def splits_of(value: Any) -> tuple[str, ...]:
    """Splits that a cell names: one, several joined by commas, or a list; none where it names anything else."""
    names = value if isinstance(value, list) else text_of(value).split(",")
    found = {text_of(name).strip().lower() for name in names}
    return tuple(split for split in SPLITS if split in found) if found <= set(SPLITS) else ()


def _mean_of(splits: Iterable[str]) -> str:
    """What the headline is the mean of."""
    names = list(splits)
    few = "" if len(names) == len(SPLITS) else f", {len(names)} of {len(SPLITS)} splits"
    return f"mean F1 of {', '.join(names)}{few}"


def _split_after_split(rows: Sequence[Asked], questions: Sequence[Question]) -> list[str]:
    """Ids of rows that number the questions of each split anew, split after split, without naming it.

    A number that is there already begins the next split. Which one it is, say the texts: only one split's questions may
    hold all of them. Empty where that is not so, or no number is there twice.
    """
    blocks: list[list[Asked]] = [[]]
    numbers = set[str]()
    for row in rows:
        if row.id in numbers:
            blocks.append([])
            numbers.clear()
        numbers.add(row.id)
        blocks[-1].append(row)
    by_id = {question.id: question for question in questions}
    ids = list[str]()
    for block in blocks:
        fitting = [
            split for split in SPLITS if all(_asks(row.text, by_id.get(pope_id([split], row.id))) for row in block)
        ]
        if len(fitting) != 1:
            return []
        ids += [pope_id(fitting, row.id) for row in block]
    return ids if len(blocks) > 1 else []


def _asks(text: str, question: Question | None) -> bool:
    return question is not None and plain(question.text).casefold() in plain(text).casefold()


def _question_id(name: str, splits: Sequence[str], own: Mapping[str, str]) -> str:
    if splits:
        return pope_id(splits, name)
    if name not in own and name.isdecimal():
        raise ValueError(f"question {short(name)}: no split; give one file a split, with the split in its name")
    return own.get(name, name)


def _offset_id(name: str, splits: Sequence[str]) -> str:
    """By LLaVA's numbers, where a row names no split."""
    number = whole_of(name)
    if splits or number is None:
        return pope_id(splits, name) if splits else name
    place, rest = divmod(number, _OFFSET)
    return pope_id([_OFFSET_SPLITS[place]], str(rest)) if place < len(_OFFSET_SPLITS) else name


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and split_of_name(file))
    if not found:
        raise ValueError(f"{path}: no question file of POPE, such as coco_pope_{SPLITS[0]}.json")
    return found


def _question(place: str, row: Row, of_name: Sequence[str]) -> Question:
    splits = splits_of(row.get("category") or row.get("split")) or tuple(of_name)
    if not splits:
        raise ValueError(f"{place}: no split; name one of {', '.join(SPLITS)} in the file's name or in `category`")
    number = id_of(row.get("question_id", row.get("index")))
    text = text_of(row.get("text") or row.get("question")).strip()
    said = text_of(row.get("label", row.get("answer")))
    check_fields(place, {"question_id (or index)": number, "text (or question)": text, "label (or answer)": said})
    truth = Pope().says_truth(said, {})
    if not truth:
        raise ValueError(f"{place}: the label is {short(said)}, neither yes nor no")
    return Question(pope_id(splits, number), text, truth, text_of(row.get("image")) or None, splits=splits)
