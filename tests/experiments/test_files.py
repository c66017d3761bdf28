"""No experiment file can rot: each is found, parsed, built and has its lab note."""

import inspect
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch.strategies import DDPStrategy, DeepSpeedStrategy, SingleDeviceStrategy

from lightning_c3l.cli import preflight
from lightning_c3l.cli.class_names import SHORT_NAMES
from lightning_c3l.cli.scenes_benchmarks import commands
from lightning_c3l.cli.trainer import C3LCLI, run_trainer
from lightning_c3l.distributed.fsdp_strategy import FullyShardedStrategy
from lightning_c3l.lvlm.huggingface import model as huggingface
from lightning_c3l.lvlm.huggingface.loading import load_checkpoint
from lightning_c3l.runs.config_file import with_class_paths
from lightning_c3l.scenes.worlds import WORLDS
from tests.helpers.benchmark_files import write_benchmark
from tests.helpers.commandline import ROOT, parsed_config

NAMES = [
    "ablations/collapse.yaml",
    "c3l/gemma4_e4b.yaml",
    "c3l/internvl35_8b.yaml",
    "c3l/llava15_7b.yaml",
    "c3l/llava_onevision_7b.yaml",
    "c3l/qwen25vl_7b.yaml",
    "c3l/qwen35_9b.yaml",
    "c3l/qwen3vl_2b.yaml",
    "c3l/qwen3vl_8b.yaml",
    "c3l/smolvlm_2b.yaml",
    "demo.yaml",
    "demo_corners.yaml",
    "demo_images.yaml",
    "easy_vqa_answers.yaml",
    "easy_vqa_base.yaml",
    "eval/llava_w.yaml",
    "eval/mmbench.yaml",
    "eval/pope.yaml",
    "eval/seed.yaml",
    "finetune/gemma4_e4b.yaml",
    "finetune/internvl35_8b.yaml",
    "finetune/llava15_7b.yaml",
    "finetune/llava15_7b_mixed.yaml",
    "finetune/qwen25vl_7b.yaml",
    "finetune/qwen35_9b.yaml",
    "finetune/qwen3vl_2b.yaml",
    "finetune/qwen3vl_8b.yaml",
    "finetune/scenes.yaml",
    "finetune/smolvlm_2b.yaml",
    "hardware/cpu.yaml",
    "hardware/ddp2_cpu.yaml",
    "hardware/ddp8.yaml",
    "hardware/deepspeed_zero2.yaml",
    "hardware/deepspeed_zero3.yaml",
    "hardware/fsdp.yaml",
    "hardware/qlora.yaml",
    "hardware/slurm.yaml",
    "hardware/vllm.yaml",
    "park_base.yaml",
    "recipe/choices.yaml",
    "recipe/contrastive.yaml",
    "recipe/park.yaml",
    "recipe/protocol.yaml",
    "recipe/rounds.yaml",
    "scenes_base.yaml",
    "sweeps/readings_grid.yaml",
    "sweeps/recipe_bayes.yaml",
    "sweeps/writing_random.yaml",
]
# what is only ever given after an experiment
OVERLAYS = [name for name in NAMES if name.startswith("hardware/")]
# gives rounds what no experiment has of its own, a generator
SERVERS = "hardware/vllm.yaml"
# W&B's own, about other files; tests/experiments/sweeps parses what its agent makes of them
SWEEPS = [name for name in NAMES if name.startswith("sweeps/")]
# of the verb `recipe`: tables, whose rows tests/experiments/recipe parses, and what is fixed before they are run
RECIPES = ["recipe/choices.yaml", "recipe/contrastive.yaml", "recipe/protocol.yaml", "recipe/rounds.yaml"]
EXPERIMENTS = [name for name in NAMES if name not in (*OVERLAYS, *SWEEPS, *RECIPES)]
# that ask instead of training
EVALUATIONS = [name for name in NAMES if name.startswith("eval/")]
# with an LVLM of the Hub, on a GPU
REAL = [name for name in NAMES if name.startswith("c3l/")]
# with an LVLM of this package or of another experiment, on CPU cores: one with a writer, one without
SMALL = ["demo.yaml", "easy_vqa_base.yaml"]
PARSED = dict[str, Any]()
FIELDS = ("claim", "command", "hardware", "minutes", "expected", "measured")


def read(name: str) -> Any:
    return yaml.safe_load(experiment(name).read_text())


def experiment(name: str) -> Path:
    return ROOT / "experiments" / name


def leaves(tree: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    if isinstance(tree, dict) and tree:
        return {k: v for name, value in tree.items() for k, v in leaves(value, (*path, name)).items()}
    return {path: tree}


def _as_written(parsed: Any, written: Any) -> Any:
    """What was parsed, without the defaults that it adds to the mappings of a list."""
    if not (isinstance(written, list) and all(isinstance(one, dict) for one in written)):
        return parsed
    return [{k: v for k, v in one.items() if k in given} for one, given in zip(parsed, written, strict=True)]


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


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_parser_takes_every_line_of_it(name, capsys):
    parsed = leaves(parsed_config(capsys, "test" if name in EVALUATIONS else "fit", "--config", str(experiment(name))))
    written = leaves(with_class_paths(read(name), SHORT_NAMES))
    assert len(written) > 10
    assert {path: _as_written(parsed.get(path, "lost"), value) for path, value in written.items()} == written


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
    assert parsed_config(capsys, *words[3:])["data"]["init_args"]["images"] == "path/to/folder"


@pytest.mark.parametrize("name", EVALUATIONS)
def test_a_benchmark_is_asked_by_the_command_of_its_header(name, capsys, monkeypatch, tiny_checkpoint, tmp_path, build):
    """On files of a few questions each, up to the first of them."""
    monkeypatch.chdir(ROOT)
    words = shlex.split(note(name)["command"])
    assert words[:4] == ["python", "-m", "lightning_c3l", "test"]
    assert f"experiments/{name}" in words
    parsed = parsed_config(capsys, *words[3:])
    benchmark = Path(name).stem
    assert parsed["data"]["init_args"]["benchmark"] == benchmark
    assert parsed["model"]["init_args"]["losses"] == (benchmark == "seed")
    questions, images = write_benchmark(tmp_path, benchmark)
    cli, asked = build(name, "--data.init_args.questions", questions, "--data.init_args.images", images, verb="test")
    assert asked == [("llava-hf/llava-1.5-7b-hf", "bfloat16", False, None)]
    assert len(next(cli.datamodule.chunks(0, 1)).items) > 3
    assert cli.model.lvlm.saved_as == "model"


@pytest.mark.parametrize("world", WORLDS)
def test_the_commands_that_scenes_benchmarks_prints_are_commands(world, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    for line, name in zip(
        commands(Path("a folder"), WORLDS[world]), ("pope", "seed", "mmbench", "llava_w"), strict=True
    ):
        told = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, text=True, check=True)
        data = parsed_config(capsys, *told.stdout.split("\0")[3:-1])["data"]["init_args"]
        assert (data["benchmark"], data["images"]) == (name, "a folder/images")
        assert data["questions"].startswith(f"a folder/{name}")
        assert data["prompt"] == ("{options}\n{question}" if name == "mmbench" else "{question}")


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
    option = path.replace(".init_args", "")
    assert re.fullmatch(rf"error: (\S+: )?--{re.escape(option)}: no such option\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("name", "overlay"),
    [
        # an experiment of each kind: with an LVLM of the Hub, with a small one, and without a writer
        *(("c3l/smolvlm_2b.yaml", overlay) for overlay in OVERLAYS if overlay != SERVERS),
        # 4 bits are of no use to a small one
        *((name, overlay) for name in SMALL for overlay in OVERLAYS if overlay not in ("hardware/qlora.yaml", SERVERS)),
    ],
)
def test_an_overlay_changes_its_own_keys_alone(name, overlay, capsys):
    configs = ["--config", str(experiment(name)), "--config", str(experiment(overlay))]
    if name not in PARSED:  # the others of its kind ask for it again
        PARSED[name] = leaves(parsed_config(capsys, "fit", *configs[:2]))
    alone, both = PARSED[name], leaves(parsed_config(capsys, "fit", *configs))
    own = leaves(with_class_paths(read(overlay), SHORT_NAMES))
    strategy = ("trainer", "strategy")
    assert {path for path in both.keys() ^ alone.keys() if path[:2] != strategy} <= own.keys()
    assert {path: both[path] for path in own} == own
    assert {path for path in both if path[:2] != strategy and both[path] != alone.get(path)} <= own.keys()


def test_the_overlay_of_servers_adds_a_generator_of_the_same_base_alone(capsys):
    configs = ["--config", str(experiment("c3l/smolvlm_2b.yaml")), "--config", str(experiment(SERVERS))]
    alone, both = (leaves(parsed_config(capsys, "fit", *words)) for words in (configs[:2], configs))
    added = ("model", "init_args", "generator")
    assert {path: value for path, value in both.items() if path[:3] != added} == {
        path: value for path, value in alone.items() if path[:3] != added
    }
    base = alone["model", "init_args", "lvlm", "init_args", "path"]
    assert both[(*added, "init_args", "model")] == base


def test_four_bits_leave_as_many_groups_to_a_step():
    small = read("hardware/qlora.yaml")
    assert small["model"]["init_args"]["lvlm"]["init_args"] == {"quantize": "nf4", "gradient_checkpointing": True}
    for config in (read(name) for name in REAL):
        steps = [
            c["data"]["init_args"]["batch_size"] * c["trainer"]["accumulate_grad_batches"] for c in (config, small)
        ]
        assert steps == [16, 16]


@pytest.fixture
def build(tiny_checkpoint, tmp_path, monkeypatch):
    """The run of these files, on CPUs and with a tiny checkpoint, and which checkpoints it asked for."""
    asked = []

    def stand_in(*wanted: Any) -> Any:
        asked.append(wanted)
        return load_checkpoint(str(tiny_checkpoint), wanted[1], trust_remote_code=False)

    def run(*words: str, verb: str = "fit") -> tuple[C3LCLI, list[Any]]:
        names = [word for word in words if word in NAMES]
        configs = [word for name in names for word in ("--config", str(experiment(name)))]
        more = [word for word in words if word not in NAMES]
        return run_trainer([verb, *configs, "--trainer.accelerator", "cpu", "--run.wandb", "null", *more]), asked

    monkeypatch.setattr(huggingface, "load_checkpoint", stand_in)
    # neither the checkpoints nor the images are here
    monkeypatch.setattr(preflight, "require_checkpoint", lambda *_: None)
    monkeypatch.setattr(preflight, "require_source", lambda spec: None)
    monkeypatch.setattr(C3LCLI, "_run_subcommand", lambda self, subcommand: None)
    monkeypatch.setenv("C3L_RUN_FOLDER", str(tmp_path))
    return run


@pytest.mark.parametrize(
    ("name", "checkpoint"),
    [
        ("gemma4_e4b.yaml", "google/gemma-4-E4B-it"),
        ("internvl35_8b.yaml", "OpenGVLab/InternVL3_5-8B-HF"),
        ("llava15_7b.yaml", "llava-hf/llava-1.5-7b-hf"),
        ("llava15_7b_mixed.yaml", "llava-hf/llava-1.5-7b-hf"),
        ("qwen25vl_7b.yaml", "Qwen/Qwen2.5-VL-7B-Instruct"),
        ("qwen35_9b.yaml", "Qwen/Qwen3.5-9B"),
        ("qwen3vl_2b.yaml", "Qwen/Qwen3-VL-2B-Instruct"),
        ("qwen3vl_8b.yaml", "Qwen/Qwen3-VL-8B-Instruct"),
        ("smolvlm_2b.yaml", "HuggingFaceTB/SmolVLM-Instruct"),
    ],
)
def test_tuning_on_a_gpu_can_be_built(name, checkpoint, build, tmp_path, monkeypatch):
    (tmp_path / "path" / "to" / "images").mkdir(parents=True)
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "This."}]
    scored = {"conversations": turns, "c3l": {"scores": {"answer": 1.0, "tokens": 1}}}
    for file in ("vlit.json", "llava_v1_5_mix665k.json"):
        (tmp_path / "path" / "to" / file).write_text(json.dumps([scored]))
    monkeypatch.chdir(tmp_path)
    cli, asked = build(f"finetune/{name}")
    assert asked == [(checkpoint, "bfloat16", False, None)]
    assert cli.datamodule.batch_size * cli.trainer.accumulate_grad_batches == 32
    assert len(cli.datamodule.records) == (2 if "mixed" in name else 1)
    assert {str(p.dtype) for p in cli.model.network.parameters() if p.requires_grad} == {"torch.float32"}


@pytest.mark.parametrize("overlay", [[], ["hardware/qlora.yaml"]], ids=["alone", "qlora"])
@pytest.mark.parametrize(
    ("name", "checkpoint"),
    [
        ("c3l/gemma4_e4b.yaml", "google/gemma-4-E4B-it"),
        ("c3l/internvl35_8b.yaml", "OpenGVLab/InternVL3_5-8B-HF"),
        ("c3l/llava15_7b.yaml", "llava-hf/llava-1.5-7b-hf"),
        ("c3l/llava_onevision_7b.yaml", "llava-hf/llava-onevision-qwen2-7b-ov-hf"),
        ("c3l/qwen25vl_7b.yaml", "Qwen/Qwen2.5-VL-7B-Instruct"),
        ("c3l/qwen35_9b.yaml", "Qwen/Qwen3.5-9B"),
        ("c3l/qwen3vl_2b.yaml", "Qwen/Qwen3-VL-2B-Instruct"),
        ("c3l/qwen3vl_8b.yaml", "Qwen/Qwen3-VL-8B-Instruct"),
        ("c3l/smolvlm_2b.yaml", "HuggingFaceTB/SmolVLM-Instruct"),
    ],
)
def test_a_run_on_a_gpu_can_be_built(name, checkpoint, overlay, build):
    """Everything but the weights and the GPU: a tiny checkpoint stands in for the one that is asked for."""
    cli, asked = build(name, *overlay)
    assert asked == [(checkpoint, "bfloat16", False, "nf4" if overlay else None)]
    assert cli.trainer.reload_dataloaders_every_n_epochs == 1
    assert cli.model.writing.begin in ("", "Question:")
    # adapters are trained in float32, whatever the weights beneath them are kept in
    trained = {p.dtype for p in cli.model.network.parameters() if p.requires_grad}
    frozen = {p.dtype for p in cli.model.network.parameters() if not p.requires_grad}
    assert [str(kind) for kinds in (trained, frozen) for kind in kinds] == ["torch.float32", "torch.bfloat16"]


@pytest.mark.parametrize(
    ("overlay", "strategy", "processes", "groups"),
    [
        ("cpu", SingleDeviceStrategy, 1, 8),
        ("ddp2_cpu", DDPStrategy, 2, 8),
        ("ddp8", DDPStrategy, 8, 1),
        ("fsdp", FullyShardedStrategy, 8, 1),
    ],
)
def test_processes_are_those_of_the_overlay(overlay, strategy, processes, groups, build):
    cli, asked = build("c3l/llava15_7b.yaml", f"hardware/{overlay}.yaml")
    assert type(cli.trainer.strategy) is strategy
    assert (cli.trainer.num_devices, cli.trainer.accumulate_grad_batches) == (processes, groups)
    assert asked[0][1] == ("float32" if overlay in ("cpu", "ddp2_cpu") else "bfloat16")


def test_a_cluster_has_more_of_the_same(capsys):
    names = ("c3l/llava15_7b.yaml", "hardware/fsdp.yaml", "hardware/slurm.yaml")
    configs = [word for name in names for word in ("--config", str(experiment(name)))]
    trainer = parsed_config(capsys, "fit", *configs)["trainer"]
    assert (trainer["num_nodes"], trainer["devices"], trainer["accumulate_grad_batches"]) == (2, 8, 1)
    assert trainer["strategy"]["class_path"].endswith("FullyShardedStrategy")


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_takes_its_options(stage):
    given = read(f"hardware/deepspeed_zero{stage}.yaml")["trainer"]["strategy"]
    assert given["class_path"] == "DeepSpeedStrategy"
    inspect.signature(DeepSpeedStrategy).bind(**given["init_args"])
    assert given["init_args"]["stage"] == stage
