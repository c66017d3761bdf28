"""Experiment files, the lab notebook, and the programs that use all packages and are no library."""
