"""Speed of generation: our own engine beside an inference server, and what large data sets cost with them."""
