"""`detector`: how well S(I2C) and its rivals tell right answers, sentences and tokens from wrong ones."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

from experiments.detector.plan import DetectorPlan
from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import parse_options
from lightning_c3l.functional.finite import jsonable
from lightning_c3l.runs.atomic import write_json_atomic, write_text_atomic


@dataclass(frozen=True)
class DetectorOptions:
    """Generate candidates about images of a world with known truth, score them, and compare scores with the truth.

    Example:
        c3l detector --world corners --images 40

    Attributes:
        out: run folder.
        plan: what is generated.
    """

    out: Path = Path("runs/detector")
    plan: DetectorPlan = field(default_factory=DetectorPlan)


def main(arguments: list[str]) -> int:
    """Run the verb `detector`; returns its exit status."""
    options = parse_options("detector", DetectorOptions, arguments)
    quieten()
    # late: these imports take seconds, which a wrong option need not wait for
    from experiments.detector.items import all_items
    from experiments.detector.page import auroc_chart, render
    from experiments.detector.results import compute_results, markdown, tables
    from experiments.detector.stored import make_candidates, read_candidates

    make_candidates(options.out, options.plan)
    levels = all_items(read_candidates(options.out))
    if empty := [name for name, items in levels.items() if not len(items.right)]:
        raise ValueError(f"{options.out}: no candidate has {empty[0]} whose truth is known; take another --base")
    results = {"plan": asdict(options.plan), **compute_results(levels)}
    write_json_atomic(options.out / "results.json", jsonable(results))
    write_text_atomic(options.out / "results.md", markdown(tables(results)))
    write_text_atomic(options.out / "auroc.svg", str(auroc_chart(results, "answers")))
    write_text_atomic(options.out / "report.html", render(results))
    print(markdown(tables(results)), end="")
    print(f"figures in {options.out / 'results.json'}, a page in {options.out / 'report.html'}")
    return 0
