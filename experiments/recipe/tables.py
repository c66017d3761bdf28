"""Tables of a look at recipes, in Markdown and for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from experiments.recipe.results import TITLES, best_first
from lightning_c3l.report.text import number, printable, signed

# figures whose differences stand in the table, in its order
SHOWN = ("truth", "own_unseen", "reference", "reference_unseen", "qa", "kind_entropy", "distinct", "yes", "parsed")


def markdown(results: Mapping[str, Any]) -> str:
    """The rows from the best down, and every trial."""
    rows, baseline = results["rows"], results["baseline"]
    head = ["row", "truth", *(f"Δ {TITLES[name]}" for name in SHOWN), "training, CPU s", "seeds", "verdict"]
    lines = [[_code(name), *_cells(rows[name], name == baseline)] for name in best_first(results)]
    trials = [
        [_code(one["row"]), str(one["seed"]), one["status"], _cell(one["reason"]), *map(number, _values(one))]
        for one in results["trials"]
    ]
    return "\n".join(
        [
            f"# Recipes `{results['table']}`, stage {results['stage']}",
            "",
            f"Seeds {', '.join(map(str, results['seeds']))}. Differences (Δ) to `{baseline}` are paired by seed and "
            "image; their 95 % intervals are bootstraps over seeds and images. "
            + target_text(results["protocol"]["target"]),
            "",
            *_table(head, lines),
            "",
            "## Trials",
            "",
            *_table(["row", "seed", "status", "reason", *(TITLES[name] for name in SHOWN)], trials),
            "",
        ]
    )


def terminal(results: Mapping[str, Any]) -> Table:
    """Truth, the differences that the target is about, and the verdict of each row."""
    shown = results["protocol"]["target"]["higher"]
    table = Table(title=Text(f"{results['table']}, {results['stage']}: differences to {results['baseline']}"))
    for name in ("row", "truth", *(TITLES.get(one, one) for one in shown), "seeds", "verdict"):
        table.add_column(name, overflow="fold")
    for name in best_first(results):
        own = results["rows"][name]
        gaps = [difference_text(own["differences"].get(figure)) for figure in shown]
        mean = number(own["figures"].get("truth", {}).get("mean"))
        table.add_row(*map(Text, [name, mean, *gaps, str(len(own["seeds"])), own["verdict"]]))
    return table


def difference_text(found: Mapping[str, Any] | None) -> str:
    """A difference with its sign and interval."""
    if found is None:
        return number(None)
    return f"{signed(found['mean'])} ({signed(found['low'])} to {signed(found['high'])})"


def _cells(own: Mapping[str, Any], is_baseline: bool) -> list[str]:
    gaps = ["" if is_baseline else difference_text(own["differences"].get(name)) for name in SHOWN]
    mean = number(own["figures"].get("truth", {}).get("mean"))
    seconds = number(own["cpu_seconds"].get("training"), 0)
    return [mean, *gaps, seconds, str(len(own["seeds"])), "baseline" if is_baseline else _cell(own["verdict"])]


def _values(trial: Mapping[str, Any]) -> Sequence[float | None]:
    return [trial["figures"].get(name) for name in SHOWN]


def target_text(target: Mapping[str, Any]) -> str:
    """The target in words."""
    alone = [TITLES.get(name, name) for name in target["higher"] if name in target["alone"]]
    others = [TITLES.get(name, name) for name in target["higher"] if name not in target["alone"]]
    guarded = ", ".join(TITLES.get(name, name) for name in target["guarded"])
    return (
        f"Better: the interval of {' or '.join(alone)} above 0; or that of {' or '.join(others)} above 0 and none of "
        f"{guarded} lower by more than {target['tolerance']:g}."
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _code(name: str) -> str:
    return f"`{name}`"


def _cell(text: object) -> str:
    """A text that ends no cell and no line."""
    return printable(text, 300).replace("|", "\\|").replace("\n", " ")
