"""Leave out of the output what users can do nothing about."""

import importlib
import logging
import re
import sys
import warnings
from typing import TextIO

from lightning_c3l.cli.output import show_warnings_in_lines
from lightning_c3l.distributed.messages import is_quiet

_PASSED_OVER = (
    r".*is_gradient_checkpointing.*",  # peft asks transformers the old way
    r".*isinstance.treespec.*",  # lightning and torch 2.13
    r".*save_embedding_layers.*",  # peft saves what is trained
    # few batches a round, no workers needed for small pictures, and a run folder that already holds config.yaml
    r".*does not have many workers.*",
    r".*Experiment logs directory.*",
    r".*smaller than the logging interval.*",
    # workers wait for files more than they compute
    r".*DataLoader will create .* worker processes.*",
    # scores go to files, batch by batch
    r".*predict returned None.*",
)
# Lightning's lines about what every run does: its tips, devices that are there or not, the seed of config.yaml, the
# table of processes, the end that `trainer.max_epochs` asks for, a checkpoint once more, and Ctrl-C
_ROUTINE = re.compile(
    r"💡 Tip:|(GPU|TPU|HPU) available|LOCAL_RANK: |Seed set to|\[rank: \d+\] Seed set to|Initializing distributed"
    r"|-{20,}\s*distributed_backend=|`Trainer.fit` stopped: `max_epochs=|Restored all states|Loaded model weights"
    r"|Detected KeyboardInterrupt"
)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to stderr as it is at that moment, above the progress bars."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.addFilter(_is_news)

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        raise AttributeError("always stderr")


def _is_news(record: logging.LogRecord) -> bool:
    return not _ROUTINE.match(record.getMessage().strip())


def quieten() -> None:
    """Before Lightning begins."""
    # it has a way of its own to show warnings
    importlib.import_module("lightning.fabric.utilities.warnings")
    show_warnings_in_lines()
    for message in _PASSED_OVER:
        warnings.filterwarnings("ignore", message=message)
    # a log that cannot be written, W&B's on a full disk for one, must not show a traceback for each of its lines
    logging.raiseExceptions = False
    for name in ("lightning.pytorch", "lightning.fabric"):
        log = logging.getLogger(name)
        log.setLevel(logging.WARNING if is_quiet() else logging.INFO)
        plain = [handler for handler in log.handlers if type(handler) is logging.StreamHandler]
        for handler in plain:
            log.removeHandler(handler)
        if plain:
            log.addHandler(_Stderr())
    # a table of weights that are missing or of another shape: the error says it in a line
    logging.getLogger("transformers.modeling_utils").addFilter(
        lambda record: not re.search(r"\| (MISSING|MISMATCH) ", record.getMessage())
    )
