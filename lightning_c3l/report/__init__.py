"""The report about a finished run: one self-contained HTML page, and tables for the terminal."""
