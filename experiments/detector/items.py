"""What the scores have to tell apart: whole answers, sentences and tokens, each with its label and all scores."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from experiments.detector.facts import Fact, SelfConsistency, facts_of
from experiments.detector.stored import Row
from lightning_c3l.functional.i2c import all_readings, answer_reading
from lightning_c3l.functional.pooling import pool_of
from lightning_c3l.functional.ranking import midranks
from lightning_c3l.records import POOLINGS, READINGS
from lightning_c3l.selection.sentences import sentence_numbers

Floats = NDArray[np.float64]
LEVELS = ("answers", "sentences", "tokens")
LOGP, CONSISTENT, OTHER = "mean log p", "self-consistency, group", "answer, another image"
_COLUMNS = ("logp", "logq", "kl", "other")
# what an item is of a candidate: the candidate's number, a mask of its tokens, [T], and the statements in them
_Part = tuple[int, Tensor, list[Fact]]


@dataclass(frozen=True)
class Items:
    """N items of a level.

    Attributes:
        images: key of the image of each.
        candidates: number of the candidate that each is of, [N].
        right: whether all statements of each are true, [N].
        share: share of its right statements, [N].
        kinds: kind of instruction of each.
        tokens: number of tokens of each, [N].
        strength: strongest prior about its things, nan where it is not known, [N].
        scores: by name, [N] each.
    """

    images: list[str]
    candidates: NDArray[np.int64]
    right: NDArray[np.bool_]
    share: Floats
    kinds: list[str]
    tokens: NDArray[np.int64]
    strength: Floats
    scores: Mapping[str, Floats]


@dataclass(frozen=True)
class _Candidates:
    """R parsed candidates, their statements and the values of their tokens, padded to [R, T]."""

    rows: list[Row]
    facts: list[list[Fact]]
    columns: Mapping[str, Tensor]
    mask: Tensor
    sentences: Tensor
    consistency: Mapping[str, SelfConsistency]


def all_items(rows: Iterable[Row]) -> dict[str, Items]:
    """The items of each level.

    Answers are all parsed candidates; one that cannot be understood counts as wrong. Sentences and tokens are those
    that state something: a sentence is right if all that it states is, a token if the statement is that it is part of.

    Args:
        rows: of `stored.read_candidates`.
    """
    found = _padded([row for row in rows if not row["rejected"] and row.get("texts")])
    whole = [(number, found.mask[number], own) for number, own in enumerate(found.facts)]
    return {
        "answers": _items(found, whole, pooled=True),
        "sentences": _items(found, list(_sentences(found))),
        "tokens": _items(found, list(_tokens(found))),
    }


def _padded(rows: list[Row]) -> _Candidates:
    facts = [facts_of(row) for row in rows]
    width = max((len(row["texts"]) for row in rows), default=0)
    mask, sentences = torch.zeros(len(rows), width, dtype=torch.bool), torch.zeros(len(rows), width, dtype=torch.int64)
    columns = {name: torch.zeros(len(rows), width, dtype=torch.float64) for name in _COLUMNS}
    for number, row in enumerate(rows):
        length = len(row["texts"])
        mask[number, :length] = True
        sentences[number, :length] = torch.tensor(sentence_numbers(row["texts"]))
        for name, column in columns.items():
            # with no other image to compare, the control is that of no image
            column[number, :length] = torch.tensor(row.get(name) or row["logq"], dtype=torch.float64)
    ways = {CONSISTENT: True, "self-consistency, image": False}
    consistency = {name: SelfConsistency(rows, facts, by_kind) for name, by_kind in ways.items()}
    return _Candidates(rows, facts, columns, mask, sentences, consistency)


def token_spans(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Characters of each token in the joined text, without the blanks before it."""
    out, position = list[tuple[int, int]](), 0
    for text in texts:
        out.append((position + len(text) - len(text.lstrip()), position + len(text)))
        position += len(text)
    return out


def _sentences(found: _Candidates) -> Iterator[_Part]:
    for number, own in enumerate(found.facts):
        of_tokens = _facts_of_tokens(found.rows[number], own)
        for sentence in dict.fromkeys(found.sentences[number][found.mask[number]].tolist()):
            mask = found.mask[number] & (found.sentences[number] == sentence)
            within = mask.nonzero().flatten().tolist()
            # in the order of the answer, each once
            stated = list(dict.fromkeys(one for token in within for one in of_tokens.get(token, ())))
            if stated:
                yield number, mask, stated


def _tokens(found: _Candidates) -> Iterator[_Part]:
    for number, own in enumerate(found.facts):
        for token, stated in _facts_of_tokens(found.rows[number], own).items():
            mask = torch.zeros_like(found.mask[number])
            mask[token] = True
            yield number, mask, stated


def _facts_of_tokens(row: Row, facts: Sequence[Fact]) -> dict[int, list[Fact]]:
    """The statements that each token is part of, by the token's number."""
    out = dict[int, list[Fact]]()
    answer = row["answer"]
    if "".join(row["texts"]) != answer.strip():
        return out
    lead = len(answer) - len(answer.lstrip())
    for number, (start, end) in enumerate(token_spans(row["texts"])):
        stated = [one for one in facts if start + lead < one.end and end + lead > one.start and start < end]
        if stated:
            out[number] = stated
    return out


def _items(found: _Candidates, parts: Sequence[_Part], pooled: bool = False) -> Items:
    """Items of parts of candidates; `pooled` adds scores by the lowest sentence and the lowest tokens of each."""
    numbers = [number for number, _, _ in parts]
    mask = torch.stack([own for _, own, _ in parts]) if parts else found.mask[:0]
    right = [sum(one.right for one in stated) / max(len(stated), 1) for _, _, stated in parts]
    share = np.array(right, dtype=np.float64)
    strengths = [max((one.strength for one in stated), default=float("nan")) for _, _, stated in parts]
    scores = _scores(found, numbers, mask, pooled)
    for name, one in found.consistency.items():
        scores[name] = np.array([one.of_facts(found.rows[number], stated) for number, _, stated in parts])
    return Items(
        images=[found.rows[number]["image"] for number in numbers],
        candidates=np.array(numbers, dtype=np.int64),
        right=share == 1,
        share=share,
        kinds=[found.rows[number]["kind"] for number in numbers],
        tokens=mask.sum(dim=1).numpy(),
        strength=np.array(strengths, dtype=np.float64),
        scores=scores,
    )


def _scores(found: _Candidates, numbers: Sequence[int], mask: Tensor, pooled: bool) -> dict[str, Floats]:
    """All scores that come from log-probabilities."""
    logp, logq, kl, other = (found.columns[name][list(numbers)] for name in _COLUMNS)
    sentences = found.sentences[list(numbers)]
    readings = all_readings(logp, logq, kl, mask)
    out = {name: getattr(readings, name).numpy() for name in READINGS}
    if pooled:
        for pooling in POOLINGS[1:]:
            pool, title = pool_of(pooling, sentences), pooling.replace("_", " ")
            own = all_readings(logp, logq, kl, mask, pool)
            out |= {f"{name}, {title}": getattr(own, name).numpy() for name in ("answer", "vocabulary", "gap")}
            out[f"log p, {title}"] = pool(logp, mask).numpy()
    out[LOGP] = readings.mean_logp.numpy()
    # what the prior says scores low, whatever the image shows
    out["mean log q, negative"] = -readings.mean_logq.numpy()
    for name in ("answer", "gap"):
        out[f"{name} and log p, mean rank"] = (midranks(out[name]) + midranks(out[LOGP])) / max(2 * len(numbers), 1)
    out["gap + log p"] = out["gap"] + out[LOGP]
    out[OTHER] = answer_reading(other, logq, kl, mask).numpy()
    return out
