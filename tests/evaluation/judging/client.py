"""A judge behind an endpoint of the tests."""

from pathlib import Path
from typing import Any

from lightning_c3l.evaluation.judging.base import Review
from lightning_c3l.evaluation.judging.endpoint import Endpoint, EndpointResponder
from lightning_c3l.evaluation.judging.prompted import PromptedJudge
from tests.evaluation.judging.samples import pairs
from tests.evaluation.judging.server import Answer, Request

KEY = "sk-proj-N0bodyMayReadThis+/=0123456789"
# the client waits as long as the header says: no test waits for its own half second
AT_ONCE = {"retry-after": "0.01"}


def judge(url: str, cache: Path | None = None, **options: Any) -> PromptedJudge:
    return PromptedJudge(EndpointResponder(Endpoint("small", url, **{"timeout": 60.0, **options})), cache)


def review(url: str, count: int, cache: Path | None = None, **options: Any) -> list[Review]:
    return judge(url, cache, **options).review(pairs(count))


def known(request: Request) -> Answer:
    """Question N gets 8 for the reference and N / 2 for the candidate."""
    return Answer(f"8 {request.question / 2}\nBecause.")
