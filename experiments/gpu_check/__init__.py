"""What only a GPU can show, within nine minutes; without a GPU, the part of it that a CPU can run."""
