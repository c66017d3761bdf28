"""`recipe`: recipes of training compared by a protocol that was fixed before."""

from dataclasses import dataclass, field
from pathlib import Path

from lightning_c3l.cli.options import parse_options
from lightning_c3l.report.terminal import console
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic

_PROTOCOL = Path("experiments/recipe/protocol.yaml")


@dataclass(frozen=True)
class RecipeOptions:
    """Train and measure each row of a table of recipes with each seed of a stage; the same command goes on.

    Example:
        c3l recipe experiments/recipe/contrastive.yaml --stage search --seeds 0-1

    Attributes:
        source: table of recipes.
        stage: stage of the protocol: `search` or `confirm`.
        only: names of rows to run; all of them unless given. The baseline is always run, and tables show what was run
            before too.
        seeds: seeds of the stage to run, such as `0-1`; all of them unless given.
        protocol: file that fixes seeds, images, what is measured and when a recipe is better.
        name: name of the folder, `<root>/sweeps/<name>`; that of the table unless given.
        root: folder of all runs.
        workers: trials at the same time; they share the cores.
    """

    source: Path
    stage: str = "search"
    only: list[str] = field(default_factory=list)
    seeds: str | None = None
    protocol: Path = _PROTOCOL
    name: str | None = None
    root: Path = Path("runs")
    workers: int = 2

    def __post_init__(self) -> None:
        """Check the number."""
        if self.workers < 1:
            raise ValueError(f"--workers: must be at least 1, not {self.workers}")


def main(arguments: list[str]) -> int:
    """Run the verb `recipe`; returns its exit status: 1 if a trial has failed."""
    options = parse_options("recipe", RecipeOptions, arguments)
    # late: these imports take seconds, which a wrong option need not wait for
    from experiments.recipe.page import render
    from experiments.recipe.protocol import read_protocol
    from experiments.recipe.results import compute_results
    from experiments.recipe.table import read_table
    from experiments.recipe.tables import markdown, terminal
    from experiments.recipe.trials import Look, Recipes
    from lightning_c3l.runs import lock, manifest

    table, protocol = read_table(options.source), read_protocol(options.protocol)
    seeds = protocol.stage(options.stage).chosen(options.seeds)
    look = Look(options.stage, table.chosen(options.only), seeds, options.workers)

    def write() -> None:
        results = compute_results(recipes, recipes.with_earlier(look))
        write_json_atomic(folder / "results.json", results)
        write_text_atomic(folder / "table.md", markdown(results))
        write_text_atomic(folder / "report.html", render(results))

    try:
        recipes = Recipes(table, protocol, options.root, options.name)
        folder = recipes.folder / look.stage
        recipes.run(look, write)
        write()
    finally:
        lock.release()
    results = manifest.read(folder / "results.json")
    console().print(terminal(results))
    print(f"a page in {folder / 'report.html'}, figures in {folder / 'results.json'}, a table in {folder / 'table.md'}")
    asked = [one for one in results["trials"] if one["row"] in look.rows and one["seed"] in look.seeds]
    return 1 if any(one["status"] == "failed" for one in asked) else 0
