"""Callbacks, one job each: the round, comparisons of writers, exposure bias, exports, logging, the report."""
