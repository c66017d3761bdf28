"""The command that starts a vLLM server for rounds, and its process."""
