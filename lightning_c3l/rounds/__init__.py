"""Rounds of candidates: templates, generation, scoring, the engine that keeps their records, and their figures."""
