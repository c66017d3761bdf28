"""Rounds and data sets of millions of candidates without a model: time and memory of each stage."""
