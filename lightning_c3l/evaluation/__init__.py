"""Benchmarks, their answers, judges and metrics."""
