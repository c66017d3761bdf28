"""Where images, instruction-tuning pairs and benchmarks come from."""
