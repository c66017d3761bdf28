"""Short names of the classes that experiment files and options may name; full class paths work too."""

import callbacks
import data_modules

_MODULES = {
    **data_modules.CLASSES,
    **callbacks.CLASSES,
    "C3LModule": "lightning_c3l.modules.c3l",
    "InstructionTuningModule": "lightning_c3l.modules.instruction_tuning",
    "EvaluationModule": "lightning_c3l.modules.benchmark",
    "HuggingFaceLVLM": "lightning_c3l.lvlm.huggingface",
    "ServedGenerator": "lightning_c3l.lvlm.served.generator",
    "EasyVQATruth": "experiments.easy_vqa.truth",
    "SceneJudge": "lightning_c3l.scenes.judge",
    "PromptedJudge": "lightning_c3l.evaluation.judging.prompted",
    "EndpointResponder": "lightning_c3l.evaluation.judging.endpoint",
    "LocalResponder": "lightning_c3l.evaluation.judging.local",
    "Endpoint": "lightning_c3l.evaluation.judging.endpoint",
    "FullyShardedStrategy": "lightning_c3l.distributed.fsdp_strategy",
    "DeepSpeedStrategy": "lightning.pytorch.strategies",
}
# short name -> class path
SHORT_NAMES = {name: f"{module}.{name}" for name, module in _MODULES.items()}
