"""An error about a package says which command helps."""

from importlib.metadata import version
from pathlib import Path

import pytest
from transformers.utils import import_utils

from lightning_c3l.lvlm import installation
from lightning_c3l.lvlm.installation import install_command, missing_package
from tests.helpers.commandline import ROOT

HELD = f"torch=={version('torch').split('+')[0]}"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the package is installed: no checkout."""
    monkeypatch.setattr(installation, "_ROOT", tmp_path)
    return tmp_path


def test_a_checkout_keeps_its_tested_versions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "_ROOT", ROOT)
    monkeypatch.chdir(ROOT)
    # as the README says it
    assert install_command("[vision]") in (ROOT / "README.md").read_text()
    assert install_command("peft>=0.19") == "pip install --constraint constraints.txt 'peft>=0.19'"
    # from elsewhere it must be found
    monkeypatch.chdir(folder)
    assert install_command("[vision]") == f"pip install --constraint {ROOT}/constraints.txt -e '{ROOT}[vision]'"


def test_elsewhere_the_torch_that_is_there_is_kept() -> None:
    assert "+" not in HELD
    assert install_command("[vision]") == f"pip install {HELD} 'lightning_c3l[vision]'"
    assert install_command("torchmetrics") == f"pip install {HELD} torchmetrics"
    # unless another one is needed
    assert install_command("torch>=2.6") == "pip install 'torch>=2.6'"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        # what transformers itself says
        (import_utils.TIMM_IMPORT_ERROR, f"needs timm: pip install {HELD} timm"),
        (
            import_utils.TORCHVISION_IMPORT_ERROR,
            f"needs torchvision or num2words: pip install {HELD} 'lightning_c3l[vision]'",
        ),
        (import_utils.SENTENCEPIECE_IMPORT_ERROR, f"needs SentencePiece: pip install {HELD} sentencepiece"),
        (import_utils.PROTOBUF_IMPORT_ERROR, f"needs protobuf: pip install {HELD} protobuf"),
        # a shell takes > for a file
        (
            "`bitsandbytes` 4-bit needs it: `pip install -U bitsandbytes>=0.46.1`",
            f"needs another package: pip install {HELD} -U 'bitsandbytes>=0.46.1'",
        ),
        ("cannot import name 'a' from 'b'", ""),
    ],
)
def test_a_message_about_a_package(error, said):
    assert missing_package(ImportError(error.replace("{0}", "AProcessor"))) == said


def test_a_module_that_is_missing():
    with pytest.raises(ImportError) as caught:
        import no_such_module.part  # noqa: F401
    assert missing_package(caught.value) == f"needs the package no_such_module: pip install {HELD} no_such_module"
    assert missing_package(ValueError("pip install something")) == ""
