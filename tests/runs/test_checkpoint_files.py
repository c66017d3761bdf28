"""A checkpoint tells whether it is what was written, and decides nothing that is built."""

import errno
import io
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from callbacks.checkpointing import WholeFile
from lightning_c3l.cli.trainer import C3LCLI, run_trainer
from lightning_c3l.modules.base import TrainedWeightsModule
from lightning_c3l.runs.checkpoint_files import save_checkpoint, verify_checkpoint

CHECKPOINT = {"pytorch-lightning_version": "2.6.6", "global_step": 3, "epoch": 0, "state_dict": {"w": torch.rand(40)}}


@pytest.fixture
def written(tmp_path) -> Path:
    WholeFile().save_checkpoint(CHECKPOINT, tmp_path / "some.ckpt")
    return tmp_path / "some.ckpt"


def problem_of(path: Path) -> str | None:
    try:
        return verify_checkpoint(path)
    except ValueError as error:
        return str(error)


def test_any_flipped_bit_is_noticed(written):
    verify_checkpoint(written)
    whole = written.read_bytes()
    unnoticed = []
    # all over the archive: weights, pickle, names, padding, table of contents
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        written.write_bytes(changed)
        if (problem := problem_of(written)) is None:
            unnoticed.append(place)
        else:
            assert str(written) in problem
    # where the digest is no longer taken for one, the archive is whole by its checksums
    assert all(place >= len(whole) - 42 for place in unnoticed)
    for place in unnoticed:
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        written.write_bytes(changed)
        assert torch.equal(WholeFile().load_checkpoint(written)["state_dict"]["w"], CHECKPOINT["state_dict"]["w"])


def test_a_cut_file_is_noticed_wherever_it_is_cut(written):
    whole = written.read_bytes()
    # the digest at the end, of 40 bytes, is not needed to read it
    for length in range(0, len(whole) - 40, 7):
        written.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"some\.ckpt: "):
            verify_checkpoint(written)


def test_files_without_a_digest_are_held_against_their_checksums(tmp_path):
    torch.save(CHECKPOINT, tmp_path / "plain.ckpt")
    verify_checkpoint(tmp_path / "plain.ckpt")
    whole = bytearray((tmp_path / "plain.ckpt").read_bytes())
    place = whole.index(CHECKPOINT["state_dict"]["w"].numpy().tobytes())
    whole[place + 5] ^= 4
    (tmp_path / "plain.ckpt").write_bytes(whole)
    with pytest.raises(ValueError, match=r"plain\.ckpt: damaged, the checksum of its part plain/data/0"):
        verify_checkpoint(tmp_path / "plain.ckpt")
    # a folder, as DeepSpeed writes it
    (tmp_path / "folder" / "checkpoint").mkdir(parents=True)
    (tmp_path / "folder" / "latest").write_text("checkpoint")
    torch.save(CHECKPOINT, tmp_path / "folder" / "checkpoint" / "model_states.pt")
    verify_checkpoint(tmp_path / "folder")
    (tmp_path / "folder" / "checkpoint" / "optim_states.pt").touch()
    with pytest.raises(ValueError, match=r"optim_states\.pt: no checkpoint, or one that is cut"):
        verify_checkpoint(tmp_path / "folder")


def test_the_file_is_an_ordinary_one(written):
    file = io.BytesIO()
    torch.save(CHECKPOINT, file)
    with zipfile.ZipFile(written) as archive, zipfile.ZipFile(file) as plain:
        assert archive.testzip() is None
        assert [one.CRC for one in archive.infolist()] == [one.CRC for one in plain.infolist()]
    for mmap in (False, True):
        assert torch.load(written, weights_only=True, mmap=mmap)["global_step"] == 3


@pytest.mark.parametrize("room", [0, 10, 400, 900, 1700, 1820])
def test_a_full_disk_is_told_as_such_wherever_it_is_met(room):
    class Small(io.BytesIO):
        def write(self, data) -> int:
            if self.tell() + len(data) > room:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    file = io.BytesIO()
    save_checkpoint(CHECKPOINT, file)
    assert len(file.getvalue()) > room
    with pytest.raises(OSError, match="No space left on device"):
        save_checkpoint(CHECKPOINT, Small())


class Marks:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.write_text, (self.marker, "code of a checkpoint ran")


@pytest.mark.parametrize("weights_only", [None, False, True])
def test_objects_are_not_loaded_whatever_is_asked_for(tmp_path, weights_only):
    with (tmp_path / "some.ckpt").open("wb") as file:
        save_checkpoint({**CHECKPOINT, "extra": Marks(tmp_path / "MARKER")}, file)
    verify_checkpoint(tmp_path / "some.ckpt")
    with pytest.raises(ValueError, match=r"some\.ckpt: holds more than weights and plain values"):
        WholeFile().load_checkpoint(tmp_path / "some.ckpt", weights_only=weights_only)
    assert not (tmp_path / "MARKER").exists()


def test_what_is_no_checkpoint_of_a_run_is_named(tmp_path):
    with zipfile.ZipFile(tmp_path / "table.ckpt", "w") as archive:
        archive.writestr("xl/workbook.xml", "a table")
    torch.save(torch.zeros(2), tmp_path / "tensor.ckpt")
    torch.save({"state_dict": {}}, tmp_path / "weights.ckpt")
    for name in ("table", "tensor", "weights"):
        with pytest.raises(ValueError, match=rf"{name}\.ckpt: no checkpoint"):
            WholeFile().load_checkpoint(tmp_path / f"{name}.ckpt")


def test_weights_alone_are_nothing_to_go_on_from():
    module = TrainedWeightsModule()
    module._trainer = SimpleNamespace(ckpt_path="some.ckpt", state=SimpleNamespace(fn=TrainerFn.FITTING))
    with pytest.raises(ValueError, match=r"some\.ckpt: the checkpoint holds no state of training"):
        module.on_load_checkpoint({"state_dict": {}})
    module._trainer.state.fn = TrainerFn.PREDICTING
    module.on_load_checkpoint({"state_dict": {}})
    with pytest.raises(ValueError, match=r"some\.ckpt: the checkpoint holds the unknown weight w"):
        module.on_load_checkpoint(CHECKPOINT)


@pytest.fixture
def parsed(tmp_path, monkeypatch):
    """The configuration of a model as it stands before anything is built, by the words of a command."""
    seen = []

    def stop(self) -> None:
        seen.append(self.config)
        raise RuntimeError("parsed")

    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run(*words: str, upto: str = "before_instantiate_classes"):
        monkeypatch.setattr(C3LCLI, upto, stop)
        with pytest.raises(RuntimeError, match="parsed"):
            run_trainer(list(words))
        return seen.pop()[words[0]]

    return run


@pytest.mark.parametrize("verb", ["fit", "predict"])
def test_nothing_in_a_checkpoint_changes_the_configuration(tmp_path, parsed, verb):
    (tmp_path / "marker_module.py").write_text("open('MARKER', 'w').close()\nclass Marked: pass\n")
    words = [verb, "--config", str(Path(__file__).parents[2] / "experiments" / "demo.yaml")]
    given = parsed(*words).model
    named = {"_instantiator": "lightning.pytorch.cli.instantiate_module", "_class_path": "marker_module.Marked"}
    lvlm = {"class_path": "lightning_c3l.lvlm.huggingface.HuggingFaceLVLM", "init_args": {"trust_remote_code": True}}
    for hyper_parameters in (named, {"path": "x"}, {"lvlm": lvlm}, {"init_args": {"lvlm": lvlm}}):
        torch.save({**CHECKPOINT, "hyper_parameters": hyper_parameters}, tmp_path / "named.ckpt")
        assert parsed(*words, "--ckpt_path", str(tmp_path / "named.ckpt")).model == given
    assert not (tmp_path / "MARKER").exists()
    assert "marker_module" not in sys.modules


def test_objects_in_checkpoints_cannot_be_asked_for(tmp_path, monkeypatch):
    demo = str(Path(__file__).parents[2] / "experiments" / "demo.yaml")
    with pytest.raises(ValueError, match="weights_only: objects in a checkpoint can run code"):
        run_trainer(["fit", "--config", demo, "--weights_only", "false", "--run.root", str(tmp_path)])
    assert not list(tmp_path.iterdir())
