"""POPE (Li et al., 2023): is this object in the image? Yes or no, in three splits."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.evaluation.benchmarks.base import (
    Pair,
    ProtocolScore,
    Question,
    QuestionReference,
    QuestionSet,
    ScoredBenchmark,
)
from lightning_c3l.evaluation.benchmarks.extraction import reference_yes_no, strict_yes_no
from lightning_c3l.evaluation.benchmarks.questions import read_question_files, require_fields
from lightning_c3l.evaluation.benchmarks.rows import Row, cell_id, cell_text, collapse_spaces, parse_index, quoted
from lightning_c3l.evaluation.metrics.functional import (
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
# the splits in file names; lmms-eval's tasks are pope_adv, pope_pop and pope_random
_FILE_NAMES = {"random": "random", "popular": "popular|pop", "adversarial": "adversarial|adv"}
_SHORT_ANSWER = "Answer the question using a single word or phrase."
# LLaVA numbers the questions of all splits in one file: the offset between the splits' numbers
_OFFSET = 10_000_000
_OFFSET_SPLITS = ("adversarial", "random", "popular")
_CODES = {"no": NO, "yes": YES, None: UNPARSABLE}
_SUFFIXES = (".json", ".jsonl", ".tsv", ".csv", ".xlsx")


class Pope(ScoredBenchmark):
    """POPE's files, prompt and two ways to read an answer."""

    name, headline = "pope", "f1"
    protocols: tuple[str, ...] = ("reference", "strict")

    def files(self, paths: Sequence[Path]) -> list[Path]:
        """List the files, and those in a folder whose names contain a split.

        Raises:
            ValueError: a folder contains none.
        """
        files = list[Path]()
        for path in paths:
            found = [path]
            if path.is_dir():
                found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and split_of_name(file))
            if not found:
                raise ValueError(f"{path}: no question file of POPE, such as coco_pope_{SPLITS[0]}.json")
            files += found
        return files

    def read_questions(self, paths: Sequence[Path]) -> QuestionSet:
        """Read question files, one a split, or a folder of them, or one file whose rows name their splits."""
        return read_question_files(self.files(paths), _parse_question)

    def prompt(self, question: Question) -> str:
        """Ask for a short answer, as LLaVA-1.5 was evaluated."""
        return f"{question.text}\n{_SHORT_ANSWER}"

    def question_ids(self, rows: Sequence[QuestionReference], questions: Sequence[Question]) -> list[str]:
        """Join by the row's own splits, by LLaVA's numbers over all splits, or by a number that only one question has.

        Rows of lmms-eval's `pope` name no split and repeat the numbers, split after split: see `_block_ids`.

        Raises:
            ValueError: a number may belong to several splits.
        """
        ids = {question.id for question in questions}
        uses = Counter(name.rpartition("/")[2] for name in ids)
        unique = {number: name for name in ids if uses[number := name.rpartition("/")[2]] == 1}
        splits = {question.splits for question in questions}
        only = splits.pop() if len(splits) == 1 else ()
        over_splits = any((parse_index(row.id) or 0) >= _OFFSET for row in rows)
        if not (over_splits or only or any(row.splits for row in rows)) and (found := _block_ids(rows, questions)):
            return found
        found = []
        for row in rows:
            name, own = row.id, row.splits or (() if over_splits else only)
            if name not in ids and own:
                name = pope_id(own, name)
            elif name not in ids and over_splits:  # LLaVA's numbers
                index = parse_index(name)
                if index is not None and index // _OFFSET < len(_OFFSET_SPLITS):
                    name = pope_id([_OFFSET_SPLITS[index // _OFFSET]], str(index % _OFFSET))
            elif name not in ids:
                if name not in unique and name.isdecimal():
                    raise ValueError(
                        f"question {quoted(name)}: no split; use one file per split, with the split in its name"
                    )
                name = unique.get(name, name)
            found.append(name)
        return found

    def parse_truth(self, truth: str, options: Mapping[str, str]) -> str:
        """Yes or no in small letters."""
        word = truth.strip().strip(".").lower()
        return word if word in ("yes", "no") else ""

    def metric_inputs(
        self, pairs: Sequence[Pair], protocol: str
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
        """Return predictions and truths, `[N]`, and the splits of each question, `[N, S]`."""
        read = reference_yes_no if protocol == "reference" else strict_yes_no
        # an empty text is no answer if the question could not be asked, or the reasoning never ended
        finals = [None if answer.problem else answer.final for _, answer in pairs]
        predicted = [UNPARSABLE if final is None else _CODES[read(final)] for final in finals]
        truth = [_CODES[question.truth] for question, _ in pairs]
        members = [[split in question.splits for split in SPLITS] for question, _ in pairs]
        return (
            np.array(predicted, dtype=np.int64),
            np.array(truth, dtype=np.int64),
            np.array(members, dtype=bool).reshape(-1, len(SPLITS)),
        )

    def score(self, pairs: Sequence[Pair], protocol: str) -> ProtocolScore:
        """Compute the mean F1, and all figures of each split."""
        predicted, truth, members = self.metric_inputs(pairs, protocol)
        cells, counts = yes_no_cells(predicted, truth), yes_no_counts(predicted, truth, members)
        by_split = split_figures(counts, SPLITS)
        # a question of several splits counts in each, as if every split were a file of its own
        pooled = yes_no_figures(counts.sum(0))
        few = "" if len(by_split) == len(SPLITS) else f", {len(by_split)} of {len(SPLITS)} splits"
        return ProtocolScore(
            headline=float(mean_f1(counts)),
            n=len(pairs),
            unparsable=int((predicted == UNPARSABLE).sum()),
            figures={"pooled_f1": float(pooled["f1"]), "yes_ratio": float(pooled["yes_ratio"])},
            tables={"split": by_split},
            parts=[cells[members[:, index]] for index in range(len(SPLITS))],
            figure=lambda totals: mean_f1(totals.reshape(*totals.shape[:-1], 2, 3)),
            right=predicted == truth,
            meaning=f"mean F1 of {', '.join(by_split)}{few}",
        )

    def notes(self, pairs: Sequence[Pair], protocol: str) -> list[str]:
        """Say how empty answers are counted."""
        empty = sum(answer.empty for _, answer in pairs)
        if protocol == "reference":
            return [
                "everything that is not a no is read as yes: an LVLM that prints nothing gets F1 0.667 on a "
                f"balanced split; answers that are empty: {empty}"
            ]
        return [f"an answer with both or neither of yes and no counts as wrong; answers that are empty: {empty}"]


def pope_id(splits: Iterable[str], number: str) -> str:
    """Id of a question: its splits and its number in them."""
    return f"{','.join(split for split in SPLITS if split in splits)}/{number}"


def split_of_name(path: Path) -> tuple[str, ...]:
    """The split in a file's name; empty if there is none or several."""
    name = path.name.lower()
    found = tuple(split for split in SPLITS if re.search(rf"(?<![a-z])(?:{_FILE_NAMES[split]})(?![a-z])", name))
    return found if len(found) == 1 else ()


def parse_splits(value: Any) -> tuple[str, ...]:
    """Splits in a cell: one, several joined by commas, or a list; empty if it contains anything else."""
    names = value if isinstance(value, list) else cell_text(value).split(",")
    found = {cell_text(name).strip().lower() for name in names}
    return tuple(split for split in SPLITS if split in found) if found <= set(SPLITS) else ()


def _block_ids(rows: Sequence[QuestionReference], questions: Sequence[Question]) -> list[str]:
    """Ids of rows that number the questions of each split from the start, split after split, without naming it.

    A repeated number begins the next block. Its split is the only one whose questions match all texts of the block.
    Empty if there is no such split, or no number is repeated.
    """
    blocks: list[list[QuestionReference]] = [[]]
    numbers = set[str]()
    for row in rows:
        if row.id in numbers:
            blocks.append([])
            numbers.clear()
        numbers.add(row.id)
        blocks[-1].append(row)
    texts = {question.id: collapse_spaces(question.text).casefold() for question in questions}
    ids = list[str]()
    for block in blocks:
        splits = list(SPLITS)
        for row in block:
            given = collapse_spaces(row.text).casefold()
            known = {split: texts.get(pope_id([split], row.id)) for split in splits}
            splits = [split for split, text in known.items() if text is not None and text in given]
        if len(splits) != 1:
            return []
        ids += [pope_id(splits, row.id) for row in block]
    return ids if len(blocks) > 1 else []


def _parse_question(row: Row, where: str, file: Path) -> Question:
    splits = parse_splits(row.get("category") or row.get("split")) or split_of_name(file)
    if not splits:
        raise ValueError(f"{where}: no split; name one of {', '.join(SPLITS)} in the file's name or in `category`")
    number = cell_id(row.get("question_id", row.get("index")))
    text = cell_text(row.get("text") or row.get("question")).strip()
    label = cell_text(row.get("label", row.get("answer")))
    require_fields(where, {"question_id (or index)": number, "text (or question)": text, "label (or answer)": label})
    truth = Pope().parse_truth(label, {})
    if not truth:
        raise ValueError(f"{where}: the label is {quoted(label)}, neither yes nor no")
    return Question(pope_id(splits, number), text, truth, cell_text(row.get("image")) or None, splits=splits)
