"""Metrics of the benchmarks: a pure function and a thin torchmetrics class each."""
