"""`merge`: a base checkpoint with a trained adapter folded into its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lightning_c3l.cli.log_filters import quieten
from lightning_c3l.cli.options import parse_options
from lightning_c3l.lvlm.hub import require_reachable
from lightning_c3l.runs.atomic import atomic_folder, require_writable


@dataclass(frozen=True)
class MergeOptions:
    """Write a checkpoint folder that needs no peft: a base with a trained adapter folded into its weights.

    Example:
        c3l merge shipped:park runs/demo/version_0/adapter merged

    Attributes:
        base: checkpoint folder or Hub name that the adapter was trained on.
        adapter: adapter folder of a run.
        out: folder to write, which must not exist.
        dtype: precision of the weights that are written.
    """

    base: str
    adapter: Path
    out: Path
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"


def main(arguments: list[str]) -> int:
    """Run the verb `merge`; returns its exit status."""
    options = parse_options("merge", MergeOptions, arguments)
    if options.out.exists():
        raise ValueError(f"{options.out}: already exists; give a new folder")
    require_writable(options.out)
    require_reachable(options.base)
    # late: it takes seconds to import, which a wrong option need not wait for
    from lightning_c3l.lvlm.huggingface import merge_adapter
    from lightning_c3l.lvlm.huggingface.hub_layout import save_model

    quieten()
    model, processor = merge_adapter(options.base, options.adapter, options.dtype)
    with atomic_folder(options.out) as folder:
        save_model(model, folder)
        processor.save_pretrained(folder)
    print(f"merged weights in {options.out}")
    return 0
