"""From the scores of a set to a chosen part of it: pure functions on small columns, no texts, no framework.

`scores` reads what a record says of itself, `columns` gathers it, `rules` and `duplicates` decide, `plan` puts them
in their order, `card` tells people about it.
"""
