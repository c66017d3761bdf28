"""What can be known of a run in a second: looked at before records are read, a model is loaded or the Hub is asked."""

from importlib import import_module
from inspect import isclass
from typing import Any

import torch
from jsonargparse import Namespace

from data_modules.benchmark import BenchmarkDataModule
from data_modules.rounds import RoundDataModule, require_source
from lightning_c3l.cli.parser import Parser
from lightning_c3l.lvlm.external import ExternalGenerator
from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM, require_checkpoint

# images or questions that `--trainer.fast_dev_run` goes through
_FEW = 4


def shorten(config: Namespace) -> None:
    """Leave a few images or questions of a run with `--trainer.fast_dev_run`; Lightning limits its batches itself."""
    if config.trainer.fast_dev_run and issubclass(_class_of(config.data), RoundDataModule | BenchmarkDataModule):
        limit = config.data.init_args.limit
        config.data.init_args.limit = _FEW if limit is None else min(limit, _FEW)


def check(parser: Any, config: Namespace, verb: str, callbacks: list[str]) -> None:
    """Refuse what would fail later.

    Args:
        parser: of the verb.
        config: what it parsed.
        verb: fit, predict or test.
        callbacks: names of the groups of options that a callback is built from.

    Raises:
        ValueError: an option, a file or a folder is wrong; names it.
        OSError: a file or folder cannot be read; names it.
    """
    data = _class_of(config.data)
    # a datamodule that reads no records is built quickly; the run builds its own
    quick = ["run", *callbacks] + ["data"] * issubclass(data, RoundDataModule | BenchmarkDataModule)
    _build(parser, {name: config[name] for name in quick if name in config})
    _check_devices(config.trainer)
    if issubclass(data, RoundDataModule):
        # `predict` writes about the images alone
        for name in ("images",) if verb == "predict" else ("images", "fresh", "held_out"):
            if (spec := config.data.init_args[name]) is not None:
                require_source(spec)
    if config.model is not None:
        _check_model(config.model, verb)


def _check_devices(trainer: Namespace) -> None:
    if trainer.accelerator not in ("gpu", "cuda"):
        return
    if trainer.accelerator == "gpu" and torch.backends.mps.is_available():
        return
    count = torch.cuda.device_count()
    if count == 0:
        raise ValueError(f"trainer.accelerator: {trainer.accelerator}, but no GPU can be used here; set cpu or auto")
    if isinstance(trainer.devices, int) and trainer.devices > count:
        raise ValueError(f"trainer.devices: {trainer.devices}, but {count} can be used here")


def _check_model(model: Namespace, verb: str) -> None:
    """Build what is made of plain values, such as the loss, and look for the checkpoint."""
    options = vars(model.init_args)
    if isinstance(size := options.get("batch_size"), int) and size < 1:
        raise ValueError(f"model.batch_size must be at least 1, not {size}")
    classes = {name for name, value in options.items() if isinstance(value, Namespace) and "class_path" in value}
    parser = Parser()
    parser.add_class_arguments(_class_of(model), skip=classes, fail_untyped=False)
    _build(parser, {name: value for name, value in options.items() if name not in classes})
    lvlm = options.get("lvlm")
    if lvlm is not None and issubclass(_class_of(lvlm), HuggingFaceLVLM):
        require_checkpoint(lvlm.init_args.path, lvlm.init_args.trust_remote_code)
    if (generator := options.get("generator")) is not None:
        _check_generator(generator, lvlm, verb)


def _check_generator(generator: Namespace, lvlm: Namespace | None, verb: str) -> None:
    """Refuse adapters that no server applies, and ask whether the servers are there."""
    lora = None if lvlm is None else lvlm.init_args.get("lora")
    if lora is not None and lora.vision:
        raise ValueError(
            "model.lvlm.lora.vision: servers ignore what adapters change in the vision tower: set it to false, or "
            "model.generator to null"
        )
    if verb == "fit" and generator.init_args.get("api") == "openai":
        raise ValueError(
            "model.generator.api: openai generates with the weights that the server has, but fit trains them: take "
            "servers of vLLM (api: vllm)"
        )
    built: ExternalGenerator = _class_of(generator)(**generator.init_args.as_dict())
    built.identity()


def _build(parser: Any, options: dict[str, Any]) -> None:
    """Build objects of options that have been parsed, for the errors that it ends in."""
    parser.instantiate_classes(Namespace(options))  # type: ignore[no-untyped-call]


def _class_of(spec: Namespace | None) -> type:
    """The class that an option names; `object` where it names none."""
    module, _, name = ("builtins.object" if spec is None else str(spec.class_path)).rpartition(".")
    found = getattr(import_module(module), name)
    return found if isclass(found) else object
