"""Tables of a look at recipes, in Markdown and for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from experiments.recipe.results import best_first
from experiments.recipe.sums import TITLES
from lightning_c3l.report.text import number, printable, signed
from lightning_c3l.selection.markdown import markdown_table

# figures whose differences stand in the table, in its order
SHOWN = (
    "truth",
    "own_unseen",
    "reference",
    "reference_unseen",
    "qa",
    "kind_entropy",
    "distinct",
    "statements",
    "yes",
    "parsed",
)


def markdown(results: Mapping[str, Any]) -> str:
    """The rows from the best down, and every trial."""
    rows, baseline = results["rows"], results["baseline"]
    head = ["row", "truth", *(f"Δ {TITLES[name]}" for name in SHOWN), "training, CPU s", "seeds", "verdict"]
    lines = [[_code(name), *_cells(rows[name], name == baseline)] for name in best_first(results)]
    listed = ["row", "seed", "status", "reason", *(TITLES[name] for name in SHOWN)]
    trials = list[list[str]]()
    for one in results["trials"]:
        figures = [number(one["figures"].get(name)) for name in SHOWN]
        trials.append([_code(one["row"]), str(one["seed"]), one["status"], _cell(one["reason"]), *figures])
    return "\n".join(
        [
            f"# Recipes `{results['table']}`, stage {results['stage']}",
            "",
            f"Seeds {', '.join(map(str, results['seeds']))}. Differences (Δ) to `{baseline}` are paired by seed and "
            "image; their 95 % intervals are bootstraps over seeds and images. "
            + target_text(results["protocol"]["target"]),
            "",
            markdown_table(head, lines, "l" * len(head)),
            "",
            "## Trials",
            "",
            markdown_table(listed, trials, "l" * len(listed)),
            "",
        ]
    )


def terminal(results: Mapping[str, Any]) -> Table:
    """Truth, the differences that the target is about, and the verdict of each row."""
    shown = results["protocol"]["target"]["higher"]
    table = Table(title=Text(f"{results['table']}, {results['stage']}: differences to {results['baseline']}"))
    for name in ("row", "truth", *(TITLES[one] for one in shown), "seeds", "verdict"):
        table.add_column(name, overflow="fold")
    for name in best_first(results):
        own = results["rows"][name]
        gaps = _gaps(own, shown, name == results["baseline"])
        mean = number(own["figures"].get("truth", {}).get("mean"))
        table.add_row(*map(Text, [name, mean, *gaps, str(len(own["seeds"])), own["verdict"]]))
    return table


def difference_text(found: Mapping[str, Any] | None) -> str:
    """A difference with its sign and interval."""
    if found is None:
        return number(None)
    return f"{signed(found['mean'])} ({signed(found['low'])} to {signed(found['high'])})"


def _cells(own: Mapping[str, Any], is_baseline: bool) -> list[str]:
    mean = number(own["figures"].get("truth", {}).get("mean"))
    seconds = number(own["cpu_seconds"].get("training"), 0)
    verdict = "baseline" if is_baseline else _cell(own["verdict"])
    return [mean, *_gaps(own, SHOWN, is_baseline), seconds, str(len(own["seeds"])), verdict]


def _gaps(own: Mapping[str, Any], figures: Sequence[str], is_baseline: bool) -> list[str]:
    """Differences to the baseline, which has none to itself."""
    return ["" if is_baseline else difference_text(own["differences"].get(name)) for name in figures]


def target_text(target: Mapping[str, Any]) -> str:
    """The target in words."""
    alone = [TITLES[name] for name in target["higher"] if name in target["alone"]]
    others = [TITLES[name] for name in target["higher"] if name not in target["alone"]]
    # titles have commas of their own
    guarded = "; ".join(TITLES[name] for name in target["guarded"])
    ways = [f"the interval of {' or '.join(alone)} above 0"] if alone else []
    if others:
        lower = f", and none of these lower by more than {target['tolerance']:g}: {guarded}" if guarded else ""
        ways.append(f"the interval of {' or '.join(others)} above 0{lower}")
    return f"Better: {', or '.join(ways)}."


def _code(name: str) -> str:
    return f"`{name}`"


def _cell(text: object) -> str:
    """A text that ends no cell and no line."""
    return printable(text, 300).replace("|", "\\|").replace("\n", " ")
