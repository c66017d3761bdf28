"""`merge`: a base checkpoint with a trained adapter folded into its weights."""

from pathlib import Path

from lightning_c3l.cli.options import VerbParser
from lightning_c3l.runs.atomic import atomic_folder, require_writable


def main(arguments: list[str]) -> int:
    """Write a checkpoint folder that needs no peft."""
    parser = VerbParser("merge", main.__doc__)
    parser.add_argument("base", help="checkpoint folder or Hub name that the adapter was trained on")
    parser.add_argument("adapter", type=Path, help="adapter folder of a run")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    options = parser.parse_args(arguments)
    if options.out.exists():
        raise ValueError(f"{options.out}: already exists; give a new folder")
    require_writable(options.out)
    # late: it takes seconds to import, which a wrong option need not wait for
    from lightning_c3l.lvlm.huggingface import merged

    model, processor = merged(options.base, options.adapter, options.dtype)
    with atomic_folder(options.out) as folder:
        model.save_pretrained(folder)
        processor.save_pretrained(folder)
    print(f"merged weights in {options.out}")
    return 0
