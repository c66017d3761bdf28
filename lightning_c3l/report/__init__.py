"""The report about a finished run.

* `render_report`: one self-contained HTML page.
* `rounds_table`: the rounds as a table for the terminal.
"""

from lightning_c3l.report.page import render_report
from lightning_c3l.report.terminal import rounds_table

__all__ = ["render_report", "rounds_table"]
