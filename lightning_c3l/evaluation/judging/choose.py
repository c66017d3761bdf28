"""The judge that options name: an endpoint, a checkpoint in this process, or a class."""

from dataclasses import dataclass
from pathlib import Path

from lightning_c3l import extensions
from lightning_c3l.evaluation.judging.base import Judge, JudgeError
from lightning_c3l.evaluation.judging.endpoint import Endpoint, EndpointResponder
from lightning_c3l.evaluation.judging.prompted import PromptedJudge


@dataclass(frozen=True)
class JudgeChoice:
    """Which judge.

    One of the first three options is given.

    Attributes:
        judge_model: model of an OpenAI-compatible endpoint, whose key is in `OPENAI_API_KEY`.
        judge_checkpoint: checkpoint of an LVLM that is loaded here and judges.
        judge_class: class of a judge without options: `SceneJudge`, or `module.Class` of your own
            (docs/extending/judge.md).
        judge_url: address of the endpoint, up to `/v1`; `OPENAI_BASE_URL` or OpenAI itself unless given.
        concurrency: requests at the same time.
        retries: times that a failed request is sent again.
        timeout: seconds that a request may take.
    """

    judge_model: str | None = None
    judge_checkpoint: str | None = None
    judge_class: str | None = None
    judge_url: str | None = None
    concurrency: int = 4
    retries: int = 5
    timeout: float = 120.0


def make_judge(options: JudgeChoice, cache: Path | None) -> Judge:
    """Make the judge that the options name.

    Args:
        options: which judge, and how to ask it.
        cache: folder for replies; None keeps none.

    Raises:
        ValueError: none or several are named, or one that cannot be made.
    """
    named = [options.judge_model, options.judge_checkpoint, options.judge_class]
    if sum(one is not None for one in named) != 1:
        raise JudgeError("give one judge: --judge-model, --judge-checkpoint or --judge-class")
    if options.judge_url is not None and options.judge_model is None:
        raise JudgeError("--judge-url goes with --judge-model")
    if options.judge_url == "":
        raise JudgeError("--judge-url is empty; leave it out to ask OpenAI")
    if options.judge_class is not None:
        return _from_class(options.judge_class)
    if options.judge_checkpoint is not None:
        return _from_checkpoint(options.judge_checkpoint, cache)
    endpoint = Endpoint(
        str(options.judge_model), options.judge_url, options.concurrency, options.timeout, options.retries
    )
    return PromptedJudge(EndpointResponder(endpoint), cache)


def _from_checkpoint(path: str, cache: Path | None) -> Judge:
    import torch  # imported late, like what follows: other judges do not need it

    from lightning_c3l.evaluation.judging.local import LocalResponder
    from lightning_c3l.lvlm.huggingface import HuggingFaceLVLM

    on_gpu = torch.cuda.is_available()
    lvlm = HuggingFaceLVLM(path, lora=None, dtype="bfloat16" if on_gpu else "float32", keep_reference=False)
    lvlm.network.to("cuda" if on_gpu else "cpu")
    # the same folder may contain other weights later
    name = f"{Path(path).name if Path(path).is_dir() else path} ({lvlm.fingerprint[:12]})"
    return PromptedJudge(LocalResponder(lvlm, name), cache)


def _from_class(path: str) -> Judge:
    judge: Judge = extensions.load("--judge-class", path, "judge", extensions.takes(()))()
    if not isinstance(getattr(judge, "name", None), str) or not callable(getattr(judge, "review", None)):
        raise JudgeError(extensions.misfit("--judge-class", path, "judge", "it needs `name`, a text, and `review`"))
    return judge
