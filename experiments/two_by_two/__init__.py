"""The experiment that judges written data: {starting, tuned} writer x {random, top S(I2C)} selection.

`plan` says what is done, `writers` write, `sets` choose, `tuning` tunes, `answering` asks and counts, and `run` does
all of this stage by stage; `claims` compares, `results` and `page` show.
"""
