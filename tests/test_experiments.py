"""No experiment file can rot: each is found, parsed, built and has its lab note."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_c3l.cli import C3LCLI, run_trainer
from lightning_c3l.lvlm.huggingface import model as huggingface
from lightning_c3l.lvlm.huggingface.loading import load_checkpoint
from tests.commandline import ROOT

NAMES = [
    "c3l/llava15_7b.yaml",
    "c3l/llava_onevision_7b.yaml",
    "c3l/qwen25vl_7b.yaml",
    "c3l/smolvlm_2b.yaml",
    "demo.yaml",
    "demo_images.yaml",
    "easy_vqa_answers.yaml",
    "easy_vqa_base.yaml",
    "hardware/qlora.yaml",
    "scenes_base.yaml",
]
# what is only ever given after an experiment
OVERLAYS = [name for name in NAMES if name.startswith("hardware/")]
EXPERIMENTS = [name for name in NAMES if name not in OVERLAYS]
# with an LVLM of the Hub, on a GPU
REAL = [name for name in NAMES if name.startswith("c3l/")]
FIELDS = ("claim", "command", "hardware", "minutes", "expected", "measured")


@pytest.fixture(autouse=True)
def _no_words_of_pytest(monkeypatch):
    """Lightning warns where a process has words of its own besides those that a test gives."""
    monkeypatch.setattr("sys.argv", ["lightning_c3l"])


def read(name: str) -> Any:
    return yaml.safe_load(experiment(name).read_text())


def experiment(name: str) -> Path:
    return ROOT / "experiments" / name


def parse(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What the real parser makes of a command; nothing is built."""
    with pytest.raises(SystemExit) as left:
        run_trainer([*words, "--print_config"])
    printed = capsys.readouterr()
    assert left.value.code in (0, None), printed.err
    return yaml.safe_load(printed.out)


def leaves(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if isinstance(tree, dict) and tree:
        return {k: v for name, value in tree.items() for k, v in leaves(value, (*path, name)).items()}
    return {path: tree}


def note(name: str) -> dict[str, str]:
    """The fields of a file's lab note; what is indented beneath a field belongs to it."""
    fields, field = dict[str, str](), None
    for line in experiment(name).read_text().splitlines():
        if not line.startswith("#"):
            break
        if found := re.fullmatch(rf"# ({'|'.join(FIELDS)}) +(\S.*)", line):
            field = found[1]
            fields[field] = found[2]
        elif field and (more := re.fullmatch(r"# {8,}(\S.*)", line)):
            fields[field] += f" {more[1]}"
        else:
            field = None
    return fields


def test_every_experiment_file_is_known():
    folder = ROOT / "experiments"
    found = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in (".yaml", ".yml")
    )
    assert found == NAMES
    assert len(found) == 10


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_parser_takes_every_line_of_it(name, capsys):
    parsed = leaves(parse(capsys, "fit", "--config", str(experiment(name))))
    written = leaves(read(name))
    assert len(written) > 10
    assert {path: parsed.get(path, "lost") for path in written} == written


@pytest.mark.parametrize("name", NAMES)
def test_its_header_is_a_lab_note(name):
    fields = note(name)
    assert tuple(fields) == FIELDS
    # a figure has its date or its place in the notebook; all others are marked
    assert re.search(r"^not measured|\d{4}-\d\d-\d\d|^see ", fields["measured"])


@pytest.mark.parametrize("name", [*REAL, *OVERLAYS])
def test_the_command_of_its_header_is_one(name, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    words = shlex.split(note(name)["command"])
    assert words[:3] == ["python", "-m", "lightning_c3l"]
    assert f"experiments/{name}" in words
    assert parse(capsys, *words[3:])["data"]["init_args"]["images"] == "path/to/folder"


def test_the_commands_of_the_readme_are_commands(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    commands = [
        shlex.split(line) for line in text.splitlines() if re.match(r"\S+ -m lightning_c3l .*experiments/", line)
    ]
    assert any("experiments/c3l/smolvlm_2b.yaml" in words for words in commands)
    for words in commands:
        assert parse(capsys, *words[3:])["model"]["class_path"] == "lightning_c3l.module.C3LModule"


@pytest.mark.parametrize(
    "path",
    [
        "unheard",
        "trainer.unheard",
        "i2c.unheard",
        "export.unheard",
        "model.init_args.unheard",
        "model.init_args.lvlm.init_args.unheard",
        "model.init_args.lvlm.init_args.lora.unheard",
        "model.init_args.writing.sampling.unheard",
        "data.init_args.unheard",
    ],
)
def test_an_unknown_key_is_refused_by_name(path, tmp_path, capsys):
    config = inner = read("c3l/smolvlm_2b.yaml")
    *way, last = path.split(".")
    for step in way:
        inner = inner[step]
    inner[last] = 1
    (tmp_path / "changed.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(SystemExit) as left:
        run_trainer(["fit", "--config", str(tmp_path / "changed.yaml"), "--print_config"])
    assert left.value.code == 2
    said = r"[Oo]ption '([a-z_.]+\.)?unheard' is not accepted|not accept option '([a-z_.]+\.)?unheard'"
    assert re.search(said, capsys.readouterr().err)


@pytest.mark.parametrize("overlay", OVERLAYS)
@pytest.mark.parametrize("name", REAL)
def test_an_overlay_changes_its_own_keys_alone(name, overlay, capsys):
    configs = ["--config", str(experiment(name)), "--config", str(experiment(overlay))]
    alone, both = (leaves(parse(capsys, "fit", *words)) for words in (configs[:2], configs))
    own = leaves(read(overlay))
    assert both.keys() == alone.keys()
    assert {path: both[path] for path in own} == own
    assert {path for path in both if both[path] != alone[path]} <= own.keys()


def test_four_bits_leave_as_many_groups_to_a_step():
    small = read("hardware/qlora.yaml")
    assert small["model"]["init_args"]["lvlm"]["init_args"] == {"quantize": "nf4", "gradient_checkpointing": True}
    for config in (read(name) for name in REAL):
        steps = [
            c["data"]["init_args"]["batch_size"] * c["trainer"]["accumulate_grad_batches"] for c in (config, small)
        ]
        assert steps == [16, 16]


@pytest.mark.parametrize("overlay", [[], *([name] for name in OVERLAYS)], ids=lambda names: "+".join(names) or "alone")
@pytest.mark.parametrize(
    ("name", "checkpoint"),
    [
        ("c3l/llava15_7b.yaml", "llava-hf/llava-1.5-7b-hf"),
        ("c3l/llava_onevision_7b.yaml", "llava-hf/llava-onevision-qwen2-7b-ov-hf"),
        ("c3l/qwen25vl_7b.yaml", "Qwen/Qwen2.5-VL-7B-Instruct"),
        ("c3l/smolvlm_2b.yaml", "HuggingFaceTB/SmolVLM-Instruct"),
    ],
)
def test_a_run_on_a_gpu_can_be_built(name, checkpoint, overlay, tiny_checkpoint, tmp_path, monkeypatch):
    """Everything but the weights and the GPU: a tiny checkpoint stands in for the one that is asked for."""
    asked = []

    def stand_in(*wanted: Any) -> Any:
        asked.append(wanted)
        return load_checkpoint(str(tiny_checkpoint), wanted[1], trust_remote_code=False)

    monkeypatch.setattr(huggingface, "load_checkpoint", stand_in)
    monkeypatch.setattr(C3LCLI, "_run_subcommand", lambda self, subcommand: None)
    monkeypatch.setenv("C3L_RUN_FOLDER", str(tmp_path))
    configs = [word for each in (name, *overlay) for word in ("--config", str(experiment(each)))]
    cli = run_trainer(["fit", *configs, "--trainer.accelerator", "cpu", "--run.wandb", "null"])
    assert asked == [(checkpoint, "bfloat16", False, "nf4" if overlay else None)]
    assert cli.trainer.reload_dataloaders_every_n_epochs == 1
    assert cli.model.writing.begin in ("", "Question:")
    # adapters are trained in float32, whatever the weights beneath them are kept in
    trained = {p.dtype for p in cli.model.network.parameters() if p.requires_grad}
    frozen = {p.dtype for p in cli.model.network.parameters() if not p.requires_grad}
    assert [str(kind) for kinds in (trained, frozen) for kind in kinds] == ["torch.float32", "torch.bfloat16"]
