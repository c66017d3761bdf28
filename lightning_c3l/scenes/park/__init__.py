"""The park: a harder embedded world, with long answers, priors of several strengths and things that go together."""
