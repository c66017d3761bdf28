"""The order in which the callbacks of a run are called."""

from enum import IntEnum


class Order(IntEnum):
    """Position of a callback's hooks among those of the others, as its class attribute `order` says.

    A callback without the attribute, such as a user's own, is at `OTHER`.
    """

    INTERRUPTION = 0
    OTHER = 1
    ROUND = 2
    LOG = 3
    # restores the state that all callbacks after it measure and export
    GUARD = 4
    COMPARISON = 5
    ADAPTER = 6
    EXPOSURE = 7
    EXPORT = 8
    # what the report shows of single pairs needs the model once more
    GALLERY = 9
    REPORT = 10
    # uploads what all others have written
    WANDB = 11
    # holds everybody's state, and stops the run
    CHECKPOINT = 12
