"""How well S(I2C) and its rivals tell right answers, sentences and tokens from wrong ones.

`stored` generates and scores candidates, `facts` says what they state, `items` makes items of each level, `ranked` has
the figures, `results` computes them, `page` shows them.
"""
