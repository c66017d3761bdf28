"""What cannot be loaded is refused in one line of the command line, which says what it is and what to do."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    CLIPConfig,
    CLIPModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaForConditionalGeneration,
    ViTConfig,
    ViTForImageClassification,
)

from lightning_c3l.lvlm.base import LVLMError
from lightning_c3l.lvlm.huggingface.loading import load_checkpoint
from tests.helpers.commandline import run_here, write_images

SIZES = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
TEXT = {**SIZES, "vocab_size": 50}
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 4567\n"


@pytest.fixture
def said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[Path], str]:
    """The one error line of `score` with a checkpoint, without its beginning."""
    write_images(tmp_path / "images", 1)
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "This."}]
    records = [{"id": "0", "image": "picture 0.png", "conversations": turns}]
    (tmp_path / "set.json").write_text(json.dumps(records))

    def score(checkpoint: Path) -> str:
        words = ["score", str(tmp_path / "set.json"), str(tmp_path / "out.jsonl"), "--model", str(checkpoint)]
        status, printed = run_here(capsys, *words, "--images", str(tmp_path / "images"), "--accelerator", "cpu")
        assert status == 2, printed
        assert "Traceback" not in printed
        assert "LOAD REPORT" not in printed
        (line,) = [line for line in printed.splitlines() if "error: " in line]
        beginning = f"error: {checkpoint}"
        assert line.startswith(beginning)
        return line[len(beginning) :]

    return score


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A checkpoint to spoil."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda: LlamaForCausalLM(LlamaConfig(**TEXT)), "llama is a text model, which takes no images"),
        (lambda: BertModel(BertConfig(**TEXT)), "bert is a text model, which takes no images"),
        (lambda: ViTForImageClassification(ViTConfig(**SIZES)), "vit is an image model, which writes no text"),
        (
            lambda: CLIPModel(CLIPConfig(text_config=TEXT, vision_config=SIZES)),
            "clip compares images with texts and writes none",
        ),
    ],
)
def test_a_model_that_is_no_lvlm(build, what, said, tmp_path):
    build().save_pretrained(tmp_path / "other")
    found = said(tmp_path / "other")
    assert found.startswith(f": model_type {what}")
    assert found.endswith("; give a vision-language model")


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("config.json", "", "config.json is no whole JSON file (Expecting value"),
        ("config.json", "[]", "config.json holds no options"),
        ("config.json", b'{"a": "\xe9"}', "config.json is no whole JSON file ('utf-8' codec"),
        ("config.json", "{}", "config.json names no model_type"),
        ("config.json", LFS, "config.json is a Git LFS pointer, not the file itself; run `git lfs pull`"),
        ("tokenizer.json", "{", "tokenizer.json is no whole JSON file (Expecting property name"),
        ("tokenizer.json", LFS, "tokenizer.json is a Git LFS pointer"),
        ("tokenizer.json", None, "has no tokenizer (such as tokenizer.json); copy its files"),
        ("processor_config.json", "{", "processor_config.json is no whole JSON file"),
        ("processor_config.json", None, "has no processor (such as processor_config.json); copy its files"),
    ],
)
def test_a_file_that_is_missing_or_damaged(file, content, what, said, folder):
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert said(folder).startswith(f": {what}")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"text_config": {"model_type": "llama", "hidden_size": "big"}}, "Field 'hidden_size' expected int, got str"),
        ({"text_config": {"model_type": "llama", "num_attention_heads": 0}}, "ZeroDivisionError"),
        ({"text_config": {"model_type": "grok9"}}, "config.json cannot be used: Unrecognized model type for subconfig"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "its weights are in MLX's format"),
        ({"model_type": "llava9"}, f"transformers {transformers.__version__} does not know the model_type llava9"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "optimum; its weights are quant"),
    ],
)
def test_a_configuration_that_cannot_be_used(changes, what, said, folder):
    edit(folder / "config.json", **changes)
    found = said(folder)
    assert what in found
    # not the list of all that transformers knows
    assert len(found) < 400


@pytest.mark.parametrize(
    ("files", "what"),
    [
        (["pytorch_model.bin"], "weights as pickles (.bin), which can run code when they are loaded; save them as"),
        (["model-Q4_K_M.gguf"], "GGUF weights, which are quantised for llama.cpp; take the checkpoint"),
        (["onnx/decoder.onnx"], "weights for ONNX; take the safetensors weights"),
        (["model-00001-of-00002.safetensors"], "shards without their index (model.safetensors.index.json)"),
    ],
)
def test_weights_of_another_format(files, what, said, folder):
    (folder / "model.safetensors").unlink()
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        save_file({}, folder / name)
    assert said(folder).startswith(f": no model.safetensors in this folder, but {what}")


def test_a_weight_file_that_is_a_pointer(said, folder):
    (folder / "model.safetensors").write_text(LFS)
    assert (
        said(folder)
        == "/model.safetensors: is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder"
    )


def test_shards_that_do_not_fit_their_index(said, folder):
    model = LlavaForConditionalGeneration.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="100kB")
    first, *_ = sorted(folder.glob("model-*.safetensors"))
    first.unlink()
    assert said(folder) == f"/{first.name}: is missing, but the index of the weights names it; copy or download it"
    index = folder / "model.safetensors.index.json"
    for content, what in (
        ("{", "is not an index of weight files; copy or download it again"),
        ('{"metadata": {}, "weight_map": {}}', "is not an index of weight files"),
        ('{"metadata": {}, "weight_map": {"a": 3}}', "is not an index of weight files"),
        ('{"weight_map": {"a": "model-00001.safetensors"}}', "is not an index of weight files"),
        ('{"metadata": {}, "weight_map": {"a": "../b.safetensors"}}', "names a file outside of its folder"),
    ):
        index.write_text(content)
        assert said(folder).startswith(f"/model.safetensors.index.json: {what}")


def test_weights_of_another_model(said, folder):
    weights = load_file(folder / "model.safetensors")
    save_file({name: torch.zeros(3, 5) for name in weights}, folder / "model.safetensors", {"format": "pt"})
    assert f"{len(weights)} weights are of another shape than config.json says, among them model." in said(folder)


RAN = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


def test_code_of_its_own_is_not_run(said, folder):
    """Neither a class of the model nor one of the processor."""
    for file in ("configuration_x.py", "processing_x.py"):
        (folder / file).write_text(RAN)
    edit(folder / "config.json", model_type="x", auto_map={"AutoConfig": "configuration_x.X"})
    warning = "it brings Python code of its own, which would run with your rights; set trust_remote_code: true"
    assert said(folder).startswith(f": {warning}")
    edit(folder / "config.json", model_type="llava")
    edit(folder / "processor_config.json", processor_class="X", auto_map={"AutoProcessor": "processing_x.X"})
    assert warning in said(folder)
    assert not (folder / "ran").exists()


OWN = """
from transformers import LlavaConfig, LlavaForConditionalGeneration
class OwnConfig(LlavaConfig):
    model_type = "own"
class OwnModel(LlavaForConditionalGeneration):
    config_class = OwnConfig
"""


def test_code_of_its_own_is_run_where_that_is_asked_for(folder, tmp_path, monkeypatch):
    for module in ("transformers.dynamic_module_utils", "transformers.utils.hub"):
        monkeypatch.setattr(f"{module}.HF_MODULES_CACHE", str(tmp_path / "modules"))
    (folder / "own.py").write_text(OWN)
    auto_map = {"AutoConfig": "own.OwnConfig", "AutoModelForImageTextToText": "own.OwnModel"}
    edit(folder / "config.json", model_type="own", auto_map=auto_map)
    model, _ = load_checkpoint(str(folder), "float32", trust_remote_code=True)
    assert type(model).__name__ == "OwnModel"
    edit(folder / "config.json", auto_map={"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"})
    with pytest.raises(LVLMError, match=r"has no AutoModelForImageTextToText \(only AutoConfig, AutoModel\)"):
        load_checkpoint(str(folder), "float32", trust_remote_code=True)


def test_an_adapter_of_a_text_model_names_its_base(said, tmp_path):
    LlamaForCausalLM(LlamaConfig(**TEXT)).save_pretrained(tmp_path / "base")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text(
        json.dumps({"peft_type": "LORA", "base_model_name_or_path": str(tmp_path / "base")})
    )
    save_file({"a": torch.zeros(1)}, tmp_path / "adapter" / "adapter_model.safetensors")
    base = tmp_path / "base"
    found = said(tmp_path / "adapter")
    assert found.startswith(f": an adapter whose base (as adapter_config.json names it) cannot be used: {base}: ")
    assert "model_type llama is a text model" in found
