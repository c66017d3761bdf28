"""Fixtures of the suite over every family: the LVLM under test, and the same weights by transformers alone."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peft import PeftModel
from safetensors.torch import load_file

from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM
from tests.helpers.families import Family, parameters
from tests.helpers.families import family as family_of
from tests.helpers.families.measured import Measured
from tests.helpers.families.native import Native
from tests.helpers.families.paths import REFUSED
from tests.helpers.tiny import SMALL_LORA, awaken_adapter

# folder for what is measured, which `make families-table` reads
REPORT = "C3L_FAMILIES_REPORT"
_MEASURED = pytest.StashKey[dict[str, Measured]]()


_RUNNING = [one for one in parameters() if one.values[0] not in REFUSED]


@pytest.fixture(scope="session", params=_RUNNING)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def family(name: str) -> Family:
    return family_of(name)


@pytest.fixture(scope="session")
def measured(name: str, family: Family, request: pytest.FixtureRequest) -> Iterator[Measured]:
    measured = Measured(name, family.model_type, family.limit)
    request.config.stash.setdefault(_MEASURED, {})[name] = measured
    yield measured
    if folder := os.environ.get(REPORT):
        measured.write(Path(folder))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: Any = yield
    callspec = getattr(item, "callspec", None)
    measured = item.config.stash.get(_MEASURED, {}).get(callspec.params.get("name", "") if callspec else "")
    if measured is not None and report.failed:
        reason = str(call.excinfo.value).strip().splitlines() if call.excinfo else []
        kind = call.excinfo.typename if call.excinfo else ""
        measured.failed[getattr(item, "originalname", item.name)] = f"{kind}: {reason[0] if reason else ''}"[:300]
    elif measured is not None and report.when == "call":
        measured.passed += report.passed
    return report


@pytest.fixture(scope="session")
def load(
    measured: Measured, family: Family, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., HuggingFaceLVLM]:
    """Load the family's checkpoint, with small adapters that change the output."""
    options: dict[str, Any] = {}
    if family.chat_template:
        template = tmp_path_factory.mktemp("template") / "chat_template.jinja"
        template.write_text(family.chat_template)
        options["chat_template"] = str(template)

    def load(path: Path = checkpoint, **more: Any) -> HuggingFaceLVLM:
        lvlm = HuggingFaceLVLM(str(path), **{"lora": SMALL_LORA} | options | more)
        awaken_adapter(lvlm)
        return lvlm

    return load


@pytest.fixture(scope="session")
def checkpoint(name: str, family_checkpoint: Callable[[str], Path]) -> Path:
    return family_checkpoint(name)


@pytest.fixture(scope="session")
def lvlm(load: Callable[..., HuggingFaceLVLM]) -> HuggingFaceLVLM:
    return load()


@pytest.fixture(scope="session")
def adapter(lvlm: HuggingFaceLVLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "adapter"
    lvlm.save(folder)
    return folder


@pytest.fixture(scope="session")
def native(family: Family, checkpoint: Path, adapter: Path) -> Native:
    """The adapted model as transformers and peft load it from disk."""
    base = Native.load(family, checkpoint)
    adapted = PeftModel.from_pretrained(base.model, str(adapter), is_trainable=True).eval()
    # by their names in the file: peft takes these for older ones and changes them (DeepSeek-OCR 2, Mistral Large 4)
    own = dict(adapted.named_parameters())
    for key, weight in load_file(adapter / "adapter_model.safetensors").items():
        own[f"{key.removesuffix('.weight')}.default.weight"].data.copy_(weight)
    return Native(family, base.processor, adapted.get_base_model())
