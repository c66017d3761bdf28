"""Leave out of the output what users can do nothing about."""

import logging
import os
import re
import warnings

_PASSED_OVER = (
    r".*is_gradient_checkpointing.*",  # peft asks transformers the old way
    r".*isinstance.treespec.*",  # lightning and torch 2.13
    # few batches a round, no workers needed for small pictures, and a run folder that already holds config.yaml
    r".*does not have many workers.*",
    r".*Experiment logs directory.*",
    r".*smaller than the logging interval.*",
    # scores go to files, batch by batch
    r".*predict returned None.*",
)


def quieten() -> None:
    """Before Lightning begins."""
    for message in _PASSED_OVER:
        warnings.filterwarnings("ignore", message=message)
    # bars for loading and saving that flash by, and advertisements for other packages
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    # a log that cannot be written, W&B's on a full disk for one, must not show a traceback for each of its lines
    logging.raiseExceptions = False
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(lambda record: "Tip:" not in record.msg)
    # a table of weights that are missing or of another shape: the error says it in a line
    logging.getLogger("transformers.modeling_utils").addFilter(
        lambda record: not re.search(r"\| (MISSING|MISMATCH) ", record.getMessage())
    )
