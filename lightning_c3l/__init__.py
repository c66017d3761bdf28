"""C3L for PyTorch Lightning: a vision-language model writes, scores and selects its own instruction-tuning data.

The names of this package are imported on their first use, so that `import lightning_c3l` costs nothing.

Examples:
    >>> import lightning_c3l
    >>> lvlm = lightning_c3l.load("shipped:scenes", device="cpu")
    >>> scenes = lightning_c3l.SceneImages(2, seed=1)
    >>> candidates = lightning_c3l.generate(lvlm, scenes, "scenes", samples=2, max_new_tokens=24)
    >>> kept = lightning_c3l.select(lightning_c3l.score_candidates(lvlm, scenes, candidates), 4)
    >>> len(candidates), len(kept)
    (16, 4)

Rounds run in a Trainer of one's own: one before the first epoch, and one after each epoch but the last. What they leave
goes to `default_root_dir`; the same call goes on where it was, and other options want another folder.

    >>> from lightning import Trainer
    >>> lvlm = lightning_c3l.load("shipped:scenes", device="cpu", lora=lightning_c3l.LoRA(rank=16))
    >>> module = lightning_c3l.C3LModule(lvlm, lightning_c3l.GenerationConfig("scenes", batch_size=64))
    >>> data = lightning_c3l.RoundDataModule(scenes)  # or a list of images, of arrays or of paths
    >>> rounds = lightning_c3l.I2CReweighting(images_per_round=200)
    >>> trainer = Trainer(max_epochs=2, callbacks=[rounds], default_root_dir="runs/mine", logger=False)
    >>> trainer.fit(module, datamodule=data)  # doctest: +SKIP
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from callbacks.i2c_reweighting import I2CReweighting as I2CReweighting
    from data_modules.rounds import RoundDataModule as RoundDataModule
    from data_modules.scenes import SceneImages as SceneImages
    from data_modules.scenes import SceneTruth as SceneTruth
    from lightning_c3l.api.data_sets import select as select
    from lightning_c3l.api.data_sets import write_vlit as write_vlit
    from lightning_c3l.api.generating import generate as generate
    from lightning_c3l.api.loading import load as load
    from lightning_c3l.api.scoring import ScoredAnswer as ScoredAnswer
    from lightning_c3l.api.scoring import score as score
    from lightning_c3l.api.scoring import score_candidates as score_candidates
    from lightning_c3l.lvlm.base import Sampling as Sampling
    from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM as HuggingFaceLVLM
    from lightning_c3l.lvlm.huggingface import LoRA as LoRA
    from lightning_c3l.modules.c3l import C3LModule as C3LModule
    from lightning_c3l.modules.loss_config import LossConfig as LossConfig
    from lightning_c3l.modules.optimization import OptimizerConfig as OptimizerConfig
    from lightning_c3l.records import Candidate as Candidate
    from lightning_c3l.records import Instruction as Instruction
    from lightning_c3l.records import ScoredCandidate as ScoredCandidate
    from lightning_c3l.records import Scores as Scores
    from lightning_c3l.rounds.generation import GenerationConfig as GenerationConfig

    __version__: str
else:
    # where each name is; the imports above say the same to type checkers and editors
    _MODULES = {
        "C3LModule": "lightning_c3l.modules.c3l",
        "Candidate": "lightning_c3l.records",
        "GenerationConfig": "lightning_c3l.rounds.generation",
        "HuggingFaceLVLM": "lightning_c3l.lvlm.huggingface",
        "I2CReweighting": "callbacks.i2c_reweighting",
        "Instruction": "lightning_c3l.records",
        "LoRA": "lightning_c3l.lvlm.huggingface",
        "LossConfig": "lightning_c3l.modules.loss_config",
        "OptimizerConfig": "lightning_c3l.modules.optimization",
        "RoundDataModule": "data_modules.rounds",
        "Sampling": "lightning_c3l.lvlm.base",
        "SceneImages": "data_modules.scenes",
        "SceneTruth": "data_modules.scenes",
        "ScoredAnswer": "lightning_c3l.api.scoring",
        "ScoredCandidate": "lightning_c3l.records",
        "Scores": "lightning_c3l.records",
        "generate": "lightning_c3l.api.generating",
        "load": "lightning_c3l.api.loading",
        "score": "lightning_c3l.api.scoring",
        "score_candidates": "lightning_c3l.api.scoring",
        "select": "lightning_c3l.api.data_sets",
        "write_vlit": "lightning_c3l.api.data_sets",
    }
    __all__ = ["__version__", *_MODULES]

    def __getattr__(name):
        from importlib import import_module
        from importlib.metadata import version

        if name == "__version__":
            found = version("lightning_c3l")
        elif name in _MODULES:
            found = getattr(import_module(_MODULES[name]), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found

    def __dir__():
        return sorted({*globals(), *__all__})
