"""Decoding in processes of its own, and batches of an epoch."""
