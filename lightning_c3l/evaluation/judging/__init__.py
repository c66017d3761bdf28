"""Judges of open answers: `base` says what one is, `choose` makes it, `reviews` keeps what it said.

`prompt`, `parsing`, `cache` and `prompted` are what judges of words share; `api` asks an OpenAI-compatible endpoint,
`local` an LVLM in this process.
"""
