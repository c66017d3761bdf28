"""Some stages of a seed in a process of their own, which `two-by-two` starts: RUN_FOLDER SEED STAGE..."""

import logging
import sys
from pathlib import Path

from experiments.two_by_two.run import Experiment
from lightning_c3l.cli.log_filters import quieten


def main(words: list[str]) -> None:
    """Run the stages that the words name."""
    quieten()
    # each of many trainings would tell its path
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    folder, seed, *names = words
    Experiment.of_folder(Path(folder)).make(int(seed), names)


if __name__ == "__main__":
    main(sys.argv[1:])
