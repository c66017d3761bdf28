"""What the rules did, as a table for the terminal."""

from rich.table import Table
from rich.text import Text

from lightning_c3l.report.text import number, printable
from lightning_c3l.selection.plan import Selection


def steps_table(selection: Selection) -> Table:
    """A line for each rule: what it kept, what it dropped, and why."""
    table = Table()
    table.add_column("rule")
    table.add_column("kept", justify="right", no_wrap=True)
    table.add_column("dropped", justify="right", no_wrap=True)
    table.add_column("why")
    for step in selection.steps:
        why = "\n".join(f"{number(count)} {printable(reason, 80)}" for reason, count in step.fell.items())
        # Text objects, because plain strings would be read as rich markup
        table.add_row(Text(step.rule), number(step.kept), number(sum(step.fell.values())), Text(why))
    return table
