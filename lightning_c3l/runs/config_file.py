"""config.yaml of a run, and class paths of the release before."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

import yaml
from jsonargparse import Namespace


class _Dumper(yaml.SafeDumper):
    """Quotes whatever jsonargparse would read as a number: a name 1e3 must come back as a text."""


_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*\.?[\d_]*|\.[\d_]+)(?:[eE][-+]?\d+)?")
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789."))


def dump_yaml(data: Any) -> str:
    """YAML that experiment files are read back from."""
    return str(yaml.dump(data, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=False))


# class paths of the release before; experiment files and run folders of it are read for one release more
RENAMED_CLASSES = {
    "lightning_c3l.module.C3LModule": "lightning_c3l.modules.c3l.C3LModule",
    "lightning_c3l.tuning.InstructionTuningModule": "lightning_c3l.modules.instruction_tuning.InstructionTuningModule",
    "lightning_c3l.evaluation.EvaluationModule": "lightning_c3l.modules.benchmark.EvaluationModule",
    "lightning_c3l.set_scoring.ScoringModule": "lightning_c3l.modules.dataset_scoring.ScoringModule",
    "lightning_c3l.strategies.FullyShardedStrategy": "lightning_c3l.distributed.fsdp_strategy.FullyShardedStrategy",
    "lightning_c3l.judging.prompted.PromptedJudge": "lightning_c3l.evaluation.judging.prompted.PromptedJudge",
    "lightning_c3l.judging.api.APIReplies": "lightning_c3l.evaluation.judging.endpoint.EndpointResponder",
    "lightning_c3l.judging.local.LocalReplies": "lightning_c3l.evaluation.judging.local.LocalResponder",
    "lightning_c3l.judging.endpoint.Endpoint": "lightning_c3l.evaluation.judging.endpoint.Endpoint",
    "data_modules.vlit.RoundDataModule": "data_modules.rounds.RoundDataModule",
    "data_modules.instruct.InstructionDataModule": "data_modules.instruction_tuning.InstructionDataModule",
    "data_modules.scoring.ScoringDataModule": "data_modules.dataset_scoring.ScoringDataModule",
    "data_modules.easy_vqa_truth.EasyVQATruth": "experiments.easy_vqa.truth.EasyVQATruth",
}


def with_class_paths(value: Any, short_names: Mapping[str, str] = MappingProxyType({}), hint: Any = None) -> Any:
    """A value of a configuration with the class paths of today for those of the release before and for short names.

    Args:
        value: dicts, Namespaces, lists, texts and numbers at any depth.
        short_names: class path of each class that has a short name.
        hint: type of the option; a text on its own is a short name only where the option takes no texts.
    """
    if isinstance(value, str):
        named = value if _takes_text(hint) else short_names.get(value, value)
        return RENAMED_CLASSES.get(named, named)
    if isinstance(value, list):
        return [with_class_paths(one, short_names, hint) for one in value]
    if isinstance(value, dict | Namespace):
        changed: Any = Namespace() if isinstance(value, Namespace) else {}  # type: ignore[no-untyped-call]
        for name, one in vars(value).items() if isinstance(value, Namespace) else value.items():
            changed[name] = with_class_paths(one, short_names, None if name == "class_path" else str)
        return changed
    return value


def read_config(path: Path) -> dict[str, Any]:
    """Configuration of a run, with the class paths of today.

    Raises:
        ValueError: the file is damaged; names it.
        OSError: it cannot be read.
    """
    try:
        # libyaml's loader, where there is one, takes a tenth of the time
        found = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is damaged ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: is damaged (no options in it)")
    current: dict[str, Any] = with_class_paths(found)
    return current


def differences(before: Any, now: Any, option: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Options that both configurations have, with different values: name, value before, value now."""
    if isinstance(before, dict) and isinstance(now, dict):
        if before.get("class_path") != now.get("class_path"):
            yield f"{option}.class_path", before.get("class_path"), now.get("class_path")
            return
        for key in [key for key in now if key in before]:
            own = option if key == "init_args" else f"{option}.{key}".lstrip(".")
            yield from differences(before[key], now[key], own)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (old, new) in enumerate(zip(before, now, strict=True)):
            yield from differences(old, new, f"{option}.{number}")
    elif before != now:
        yield option, before, now


def _takes_text(hint: Any) -> bool:
    return hint is str or any(_takes_text(one) for one in get_args(hint))
