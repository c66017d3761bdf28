"""Sweep files for `wandb agent`, and the program that walks them without W&B: `sweep-local`."""
