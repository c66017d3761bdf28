"""What rounds and data sets are measured by.

* `diversity`: kinds of questions, their entropy, share of distinct questions.
* `ranking`: area under the ROC curve, rank correlation, paired bootstrap interval.
* `yes_no`, `choice`, `relative`: what benchmarks report.
* `significance`: bootstrap intervals of any figure made from sums, exact McNemar test.
"""

from lightning_c3l.metrics.diversity import (
    QUESTION_KINDS,
    DistinctRate,
    KindEntropy,
    distinct_rate,
    kind_entropy,
    question_kind,
)
from lightning_c3l.metrics.ranking import auroc, paired_bootstrap, rank_correlation

__all__ = [
    "QUESTION_KINDS",
    "DistinctRate",
    "KindEntropy",
    "auroc",
    "distinct_rate",
    "kind_entropy",
    "paired_bootstrap",
    "question_kind",
    "rank_correlation",
]
