"""An error about a package says which command helps."""

import pytest
from transformers.utils import import_utils

from lightning_c3l.lvlm.installation import missing_package


@pytest.mark.parametrize(
    ("error", "said"),
    [
        # what transformers itself says
        (import_utils.TIMM_IMPORT_ERROR, "needs timm: pip install timm"),
        (import_utils.TORCHVISION_IMPORT_ERROR, "needs torchvision or num2words: pip install 'lightning_c3l[vision]'"),
        (import_utils.SENTENCEPIECE_IMPORT_ERROR, "needs SentencePiece: pip install sentencepiece"),
        (import_utils.PROTOBUF_IMPORT_ERROR, "needs protobuf: pip install protobuf"),
        # a shell takes > for a file
        (
            "`bitsandbytes` 4-bit needs it: `pip install -U bitsandbytes>=0.46.1`",
            "needs another package: pip install -U 'bitsandbytes>=0.46.1'",
        ),
        ("cannot import name 'a' from 'b'", ""),
    ],
)
def test_a_message_about_a_package(error, said):
    assert missing_package(ImportError(error.replace("{0}", "AProcessor"))) == said


def test_a_module_that_is_missing():
    with pytest.raises(ImportError) as caught:
        import no_such_module.part  # noqa: F401
    assert missing_package(caught.value) == "needs the package no_such_module: pip install no_such_module"
    assert missing_package(ValueError("pip install something")) == ""
