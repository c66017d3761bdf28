"""config.yaml of a run, and class paths of the release before."""

import re
from typing import Any

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
    "lightning_c3l.strategies.FullyShardedStrategy": "lightning_c3l.distributed.fsdp_strategy.FullyShardedStrategy",
    "data_modules.vlit.RoundDataModule": "data_modules.rounds.RoundDataModule",
    "data_modules.instruct.InstructionDataModule": "data_modules.instruction_tuning.InstructionDataModule",
    "data_modules.easy_vqa_truth.EasyVQATruth": "experiments.easy_vqa.truth.EasyVQATruth",
}


def with_current_classes(config: Any) -> Any:
    """The same configuration with the class paths of the release before replaced by those of today.

    Args:
        config: a value of a configuration: dicts, Namespaces, lists, texts and numbers at any depth.
    """
    if isinstance(config, str):
        return RENAMED_CLASSES.get(config, config)
    if isinstance(config, Namespace):
        renamed = Namespace()  # type: ignore[no-untyped-call]
        for name, value in vars(config).items():
            renamed[name] = with_current_classes(value)
        return renamed
    if isinstance(config, dict):
        return {name: with_current_classes(value) for name, value in config.items()}
    if isinstance(config, list):
        return [with_current_classes(value) for value in config]
    return config
