"""How fast and how small scoring, generation and training are, beside the plain ways of doing the same."""
