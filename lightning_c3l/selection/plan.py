"""The rules of a selection in their fixed order: duplicates, threshold, quotas, size."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightning_c3l.selection import rules
from lightning_c3l.selection.columns import Columns, Mask
from lightning_c3l.selection.duplicates import Over, drop_exact, drop_near


@dataclass(frozen=True)
class Plan:
    """What is asked for; None and False leave a rule out.

    Attributes:
        exact_duplicates: drop records that say the same as a better one.
        near_duplicates: least Jaccard index of near-duplicates, above 0 and at most 1; drops exact ones, too.
        over: whether duplicates are looked for among records of the same images or over the whole set.
        min_score: least score in nats a token.
        per_image: most records of the same images.
        per_kind: most records of a kind.
        top_k: most records.
        top_fraction: share of what the rules before left, above 0 and at most 1.
        balanced: share the size evenly over kinds.
        matched: take the size within bins of answer length.
        keep_text_only: keep text-only records beside the selection.

    Raises:
        ValueError: an option is out of its range, or two do not go together.
    """

    exact_duplicates: bool = False
    near_duplicates: float | None = None
    over: Over = "images"
    min_score: float | None = None
    per_image: int | None = None
    per_kind: int | None = None
    top_k: int | None = None
    top_fraction: float | None = None
    balanced: bool = False
    matched: bool = False
    keep_text_only: bool = False

    def __post_init__(self) -> None:
        for name in ("near_duplicates", "top_fraction"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise ValueError(f"{_option(name)} must be above 0 and at most 1, not {value}")
        for name in ("per_image", "per_kind", "top_k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{_option(name)} must be at least 1, not {value}")
        if self.min_score is not None and not np.isfinite(self.min_score):
            raise ValueError(f"--min-score must be a finite number, not {self.min_score}")
        if self.top_k is not None and self.top_fraction is not None:
            raise ValueError("--top-k and --top-fraction exclude each other; give one")
        if (self.balanced or self.matched) and self.top_k is None and self.top_fraction is None:
            raise ValueError("--balance and --length-matched need --top-k or --top-fraction")
        if self.over == "set" and not self.drops_duplicates:
            raise ValueError("--duplicates-over needs --exact-duplicates or --near-duplicates")

    @property
    def drops_duplicates(self) -> bool:
        """Whether texts are needed."""
        return self.exact_duplicates or self.near_duplicates is not None


@dataclass(frozen=True)
class Step:
    """What one rule did.

    Attributes:
        rule: the rule as the command line names it.
        kept: how many records it left.
        fell: how many it took out, by reason.
    """

    rule: str
    kept: int
    fell: dict[str, int]


@dataclass(frozen=True)
class Choice:
    """A selection.

    Attributes:
        chosen: the records to write, [N].
        eligible: those that were scored and no duplicates, what a random control is drawn from, [N].
        fell_at: position in `reasons` of why each record was left out, 0 where it was not, [N].
        reasons: reasons of all rules; the first is empty.
        steps: what each rule did, in order.
    """

    chosen: Mask
    eligible: Mask
    fell_at: NDArray[np.int16]
    reasons: tuple[str, ...]
    steps: tuple[Step, ...]

    def why(self, place: int) -> str:
        """Why the record at this place was left out."""
        return self.reasons[int(self.fell_at[place])]


def choose(columns: Columns, plan: Plan) -> Choice:
    """Apply the rules.

    Raises:
        ValueError: nothing is left; names the rule after which that is so.
    """
    alive = columns.scored
    reasons, fell_at = list(columns.reasons), columns.reason.copy()
    steps = [_scored(columns, plan.keep_text_only)]
    found = ", ".join(f"{count:,} {why}" for why, count in steps[0].fell.items())
    _check(steps[0], len(alive), f"{found or 'the set is empty'}; see the verb `score`")
    eligible = alive
    for rule, why, after in _rules(columns, plan, alive):
        fell_at[alive & ~after] = len(reasons)
        reasons.append(why)
        fallen = int(alive.sum() - after.sum())
        steps.append(Step(rule, int(after.sum()), {why: fallen} if fallen else {}))
        _check(steps[-1], int(alive.sum()), f"the best score is {columns.score[alive].max():.4g}")
        eligible = after if "duplicate" in why else eligible
        alive = after
    if plan.keep_text_only:
        fell_at[columns.text_only] = 0
        alive = alive | columns.text_only
    return Choice(alive, eligible, fell_at, tuple(reasons), tuple(steps))


def _rules(columns: Columns, plan: Plan, alive: Mask) -> Iterator[tuple[str, str, Mask]]:
    """Each rule asked for: its name, the reason of those that fall, who is left."""
    if plan.drops_duplicates:
        where = " --duplicates-over set" if plan.over == "set" else ""
        alive = drop_exact(columns, alive, plan.over)
        yield f"--exact-duplicates{where}", "exact duplicate", alive
        if plan.near_duplicates is not None:
            alive = drop_near(columns, alive, plan.near_duplicates, plan.over)
            yield f"--near-duplicates {plan.near_duplicates:g}{where}", "near-duplicate", alive
    if plan.min_score is not None:
        alive = rules.at_least(columns, alive, plan.min_score)
        yield f"--min-score {plan.min_score:g}", "below the threshold", alive
    if plan.per_image is not None:
        alive = rules.best_of_each(columns, alive, columns.image, plan.per_image)
        yield f"--per-image {plan.per_image}", "beyond the image's quota", alive
    if plan.per_kind is not None:
        alive = rules.best_of_each(columns, alive, columns.kind, plan.per_kind)
        yield f"--per-kind {plan.per_kind}", "beyond the kind's quota", alive
    if plan.top_k is not None or plan.top_fraction is not None:
        alive = rules.top(columns, alive, _size(plan, alive), plan.balanced, plan.matched)
        yield _size_rule(plan), "not among the best", alive


def _size(plan: Plan, alive: Mask) -> int:
    if plan.top_k is not None:
        return plan.top_k
    assert plan.top_fraction is not None
    # the nearest number, halves up
    return int(plan.top_fraction * int(alive.sum()) + 0.5)


def _size_rule(plan: Plan) -> str:
    size = f"--top-k {plan.top_k}" if plan.top_k is not None else f"--top-fraction {plan.top_fraction:g}"
    return size + " --balance kinds" * plan.balanced + " --length-matched" * plan.matched


def _scored(columns: Columns, keep_text_only: bool) -> Step:
    outside = columns.reason[~(columns.scored | columns.text_only if keep_text_only else columns.scored)]
    codes, counts = np.unique(outside, return_counts=True)
    fell = {columns.reasons[code]: int(count) for code, count in zip(codes, counts, strict=True)}
    return Step("scored", int(columns.scored.sum()), fell)


def _check(step: Step, before: int, hint: str) -> None:
    if not step.kept:
        raise ValueError(f"nothing is left: {step.rule} keeps none of {before:,} records ({hint})")


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
