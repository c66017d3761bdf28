"""Compare recipes of training by a protocol that is fixed before anything is measured.

A trial is a row of a table of options and a seed. `table` reads the rows, `protocol` the seeds and what is measured,
`trials` runs them on stored first rounds, `measuring` measures each, `results` compares them with the baseline row,
`page` shows it.
"""
