"""Compare generated data: {starting, tuned} writer x {random, top S(I2C)} selection.

`plan` holds sizes and names, `writers` generate pairs, `sets` select them, `tuning` trains on them, `answering` runs
the benchmarks, `run` does all of it stage by stage; `results` compares, `page` shows.
"""
