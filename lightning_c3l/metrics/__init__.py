"""What rounds and data sets are measured by.

* `diversity`: kinds of questions, their entropy, share of distinct questions.
* `ranking`: area under the ROC curve, rank correlation.
* `yes_no`, `choice`, `relative`: what benchmarks report, of arrays; `over_ranks`: the same as torchmetrics.
* `significance`: bootstrap intervals of any figure made from sums, exact McNemar test.
"""
