"""`python -m lightning_c3l`."""

import sys

from lightning_c3l.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
