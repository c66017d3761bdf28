"""The rules of a selection in their fixed order: duplicates, threshold, quotas, size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.selection.columns import Columns, Mask
from lightning_c3l.selection.duplicates import SMALL, NearDuplicateRule, Over, drop_exact, drop_near
from lightning_c3l.selection.quotas import best_of_each, top


@dataclass(frozen=True)
class SelectionPlan:
    """Rules of the selection.

    None and False leave a rule out.

    Attributes:
        exact_duplicates: keep only the best of the records with the same texts.
        near_duplicates: Jaccard index of word pairs from which records count as duplicates, of which the best is kept,
            above 0 and at most 1.
        duplicates_over: whether duplicates are looked for among records of the same images or over the whole set.
        one_per_question: count records with the same images and the same question as near-duplicates.
        min_score: smallest score of a record, in nats a token.
        per_image: maximum number of records about the same images.
        per_kind: maximum number of records of a kind.
        top_k: size of the selection: keep this many records, the best.
        top_fraction: size of the selection as a share of what the rules above leave, above 0 and at most 1.
        balance: `kinds` divides the size equally over the kinds of questions.
        balance_yes_no: fill the size with as many answers of yes as of no; S(I2C) ranks the two apart, true or not.
        length_matched: fill the size so that the lengths of answers are distributed as in the set.
        text_only: whether records about no image are dropped, or all kept beside the selection.
        all_pairs: compare all pairs of records for near-duplicates, even where many are about the same images; without
            it MinHash finds the candidates there.

    Raises:
        ValueError: an option is out of its range, or two do not go together.
    """

    exact_duplicates: bool = False
    near_duplicates: float | None = None
    duplicates_over: Over = "images"
    one_per_question: bool = False
    min_score: float | None = None
    per_image: int | None = None
    per_kind: int | None = None
    top_k: int | None = None
    top_fraction: float | None = None
    balance: Literal["kinds"] | None = None
    balance_yes_no: bool = True
    length_matched: bool = False
    text_only: Literal["drop", "keep"] = "drop"
    all_pairs: bool = False

    def __post_init__(self) -> None:
        for name in ("near_duplicates", "top_fraction"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, not {value}")
        for name in ("per_image", "per_kind", "top_k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.min_score is not None and not np.isfinite(self.min_score):
            raise ValueError(f"min_score must be a finite number, not {self.min_score}")
        if self.top_k is not None and self.top_fraction is not None:
            raise ValueError("top_k and top_fraction exclude each other; give one")
        if (self.balance or self.length_matched) and not self.has_size:
            raise ValueError("balance and length_matched need top_k or top_fraction")
        if self.duplicates_over == "set" and not self.drops_duplicates:
            raise ValueError("duplicates_over needs exact_duplicates or near_duplicates")

    @property
    def drops_duplicates(self) -> bool:
        """Whether texts are needed."""
        return self.exact_duplicates or self.near_duplicates is not None

    @property
    def has_size(self) -> bool:
        """Whether the selection has a size, which the best records fill."""
        return self.top_k is not None or self.top_fraction is not None


@dataclass(frozen=True)
class Step:
    """What one rule did.

    Attributes:
        rule: the rule as the command line names it.
        kept: records left after it.
        fell: records it took out, by reason.
    """

    rule: str
    kept: int
    fell: dict[str, int]


@dataclass(frozen=True)
class YesNoBalance:
    """Records answered yes and no among the best, and among those taken in their place.

    Attributes:
        by_score: yes and no among the best by score alone.
        balanced: yes and no in the selection.
    """

    by_score: tuple[int, int]
    balanced: tuple[int, int]

    def __str__(self) -> str:
        before, after = ("{} yes and {} no".format(*pair) for pair in (self.by_score, self.balanced))
        yes, no = self.balanced
        balanced = "balanced" if abs(yes - no) <= 1 else f"not balanced, too few say {'no' if yes > no else 'yes'}"
        return f"answers {balanced}: {after}; by score alone {before}"


@dataclass(frozen=True)
class Selection:
    """The records chosen from a set of N.

    Attributes:
        chosen: the records to write, [N].
        eligible: scored records that are no duplicates, from which a random control is drawn, [N].
        fell_at: index into `reasons` of why each record was left out, 0 where it was not, [N].
        reasons: reasons of all rules; the first is empty.
        steps: what each rule did, in order.
        yes_no: the balance of yes and no; None where it was not asked for or there are no such answers.
    """

    chosen: Mask
    eligible: Mask
    fell_at: NDArray[np.int16]
    reasons: tuple[str, ...]
    steps: tuple[Step, ...]
    yes_no: YesNoBalance | None = None

    def why(self, position: int) -> str:
        """Why the record at this position was left out."""
        return self.reasons[int(self.fell_at[position])]


@dataclass(frozen=True)
class Duplicates:
    """Duplicates of a set of N that were found before, such as image by image.

    Attributes:
        exact: records whose texts a better one has, [N].
        near: near-duplicates of a better one among the others, [N].
    """

    exact: Mask
    near: Mask


@dataclass(frozen=True)
class _Outcome:
    """What a rule takes out, by reason."""

    rule: str
    out: dict[str, Mask]
    drops_duplicates: bool = False
    yes_no: YesNoBalance | None = None


def find_duplicates(columns: Columns, plan: SelectionPlan) -> Duplicates:
    """The duplicates among the scored records, as the rules of a plan have them.

    Args:
        columns: the set, with texts and shingles.
        plan: the rules.
    """
    distinct = drop_exact(columns, columns.scored, plan.duplicates_over) if plan.drops_duplicates else columns.scored
    kept = distinct
    if plan.near_duplicates is not None:
        rule = NearDuplicateRule(
            plan.near_duplicates, plan.duplicates_over, plan.one_per_question, None if plan.all_pairs else SMALL
        )
        kept = drop_near(columns, distinct, rule)
    return Duplicates(columns.scored & ~distinct, distinct & ~kept)


def select_records(
    columns: Columns, plan: SelectionPlan, allow_empty: bool = False, duplicates: Duplicates | None = None
) -> Selection:
    """Apply the rules of a plan to a scored set.

    Args:
        columns: the set, with texts and shingles where the plan drops duplicates that are not given.
        plan: the rules.
        allow_empty: return an empty selection rather than raise.
        duplicates: those of the plan's rules; found in the columns unless given.

    Returns:
        The selection.

    Raises:
        ValueError: nothing is left; names the rule that dropped the last records.
    """
    alive = eligible = columns.scored
    reasons, fell_at, yes_no = list(columns.reasons), columns.reason.copy(), None
    kept = alive | columns.text_only if plan.text_only == "keep" else alive
    codes, counts = np.unique(fell_at[~kept], return_counts=True)
    unscored = {reasons[code]: int(count) for code, count in zip(codes, counts, strict=True)}
    steps = [Step("scored", int(alive.sum()), unscored)]
    if not steps[0].kept and not allow_empty:
        found = ", ".join(f"{count:,} {why}" for why, count in unscored.items()) or "the set is empty"
        raise ValueError(_nothing_left(steps[0], len(alive), f"{found}; see the verb `score`"))
    if duplicates is None:
        duplicates = find_duplicates(columns, plan)
    for outcome in _outcomes(columns, plan, alive, duplicates):
        before = alive
        for why, out in outcome.out.items():
            fell_at[out] = len(reasons)
            reasons.append(why)
            alive = alive & ~out
        fell = {why: int(out.sum()) for why, out in outcome.out.items() if out.any()}
        steps.append(Step(outcome.rule, int(alive.sum()), fell))
        if not alive.any() and not allow_empty:
            best = f"the best score is {columns.score[before].max():.4g}"
            raise ValueError(_nothing_left(steps[-1], int(before.sum()), best))
        eligible = alive if outcome.drops_duplicates else eligible
        yes_no = outcome.yes_no or yes_no
    if plan.text_only == "keep":
        fell_at[columns.text_only] = 0
        alive = alive | columns.text_only
    return Selection(alive, eligible, fell_at, tuple(reasons), tuple(steps), yes_no)


def _outcomes(columns: Columns, plan: SelectionPlan, alive: Mask, duplicates: Duplicates) -> Iterator[_Outcome]:
    """Apply each rule asked for to what the rules before left."""
    where = " --duplicates-over set" if plan.duplicates_over == "set" else ""
    if plan.drops_duplicates:
        yield _Outcome(f"--exact-duplicates{where}", {"exact duplicate": duplicates.exact}, drops_duplicates=True)
        alive = alive & ~duplicates.exact
    if plan.near_duplicates is not None:
        named = f"--near-duplicates {plan.near_duplicates:g}{where}"
        yield _Outcome(named, {"near-duplicate": duplicates.near}, drops_duplicates=True)
        alive = alive & ~duplicates.near
    if plan.min_score is not None:
        kept = alive & (columns.score >= plan.min_score)
        yield _Outcome(f"--min-score {plan.min_score:g}", {"below the threshold": alive & ~kept})
        alive = kept
    for name, groups, most in (("image", columns.image, plan.per_image), ("kind", columns.kind, plan.per_kind)):
        if most is not None:
            kept = best_of_each(columns, alive, groups, most)
            yield _Outcome(f"--per-{name} {most}", {f"beyond the {name}'s quota": alive & ~kept})
            alive = kept
    if plan.has_size:
        yield _fill_size(columns, plan, alive)


def _fill_size(columns: Columns, plan: SelectionPlan, alive: Mask) -> _Outcome:
    """Keep the best records, as many as the size asks for."""
    # of a share, the nearest number, halves up
    size = int((plan.top_fraction or 0) * int(alive.sum()) + 0.5) if plan.top_k is None else plan.top_k
    rule = f"--top-fraction {plan.top_fraction:g}" if plan.top_k is None else f"--top-k {plan.top_k}"
    rule += " --balance kinds" * (plan.balance == "kinds") + " --length-matched" * plan.length_matched
    best = top(columns, alive, size, plan.balance == "kinds", plan.length_matched)
    if not plan.balance_yes_no or not columns.polarity[best].any():
        return _Outcome(rule, {"not among the best": alive & ~best})
    kept = top(columns, alive, size, plan.balance == "kinds", plan.length_matched, balance_yes_no=True)
    signs = (columns.polarity[best], columns.polarity[kept])
    by_score, balanced = ((int((own > 0).sum()), int((own < 0).sum())) for own in signs)
    out = {"not among the best": alive & ~best & ~kept, "beyond the balance of yes and no": best & ~kept}
    return _Outcome(f"{rule} --balance-yes-no", out, yes_no=YesNoBalance(by_score, balanced))


def _nothing_left(step: Step, before: int, hint: str) -> str:
    return f"nothing is left: {step.rule} keeps none of {before:,} records ({hint})"
