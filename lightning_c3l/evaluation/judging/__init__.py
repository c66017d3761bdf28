"""Judges of open answers: `base` says what one is, `choose` makes it, `reviews` reads and writes its reviews.

`prompted` is any judge that is asked in words; `endpoint` and `local` reply to its prompts.
"""
