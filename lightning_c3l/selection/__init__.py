"""One selection engine for `fit`, `predict` and `select`: pure functions on small columns, no framework.

`columns` holds what the rules look at, `duplicates` and `quotas` are the rules, `plan` applies them in order, `control`
draws the random control, `candidates` runs the engine on a run's candidates, `card` describes a selection to people.
`pseudo_labels` makes the groups and weights of a round.
"""
