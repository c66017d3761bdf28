"""What servers answer, which may be anything, as completions."""

from collections.abc import Sequence
from typing import Any

from lightning_c3l.lvlm.base import LVLMError, Sampling
from lightning_c3l.lvlm.external import RequestOptions
from lightning_c3l.lvlm.served.pool import ServerFailure
from lightning_c3l.lvlm.served.token_rows import row_problem

# how a completion may end; others, such as "abort", mean that the server gave up
_ENDS = ("stop", "length")
# characters of the longest tokens of known vocabularies, several times over
_LONGEST_TOKEN = 1000


def check_prompt(url: str, answer: dict[str, Any], expected: Sequence[int], options: RequestOptions) -> None:
    """Check that the server has read a prompt as the tokens that this process reads.

    Raises:
        ServerFailure: if the answer does not say what it has read.
        LVLMError: if it has read other tokens.
    """
    ids = answer.get("prompt_token_ids")
    if ids is None:
        raise LVLMError(
            f"{url}: does not return token ids (`return_token_ids`), which tell whether it reads prompts as this "
            "process does: serve with a newer vLLM, or set generator.api: openai for another server"
        )
    if not isinstance(ids, list) or not all(type(token) is int for token in ids):
        raise ServerFailure("sends token ids that are not numbers")
    if problem := row_problem(ids, expected, options.forbidden_ids):
        raise LVLMError(f"{url}: reads a prompt as other tokens than this process: {problem}")


def completions_of(url: str, answer: dict[str, Any], sampling: Sampling) -> list[str]:
    """The completions of an answer, in their order, without blanks at their ends.

    Raises:
        ServerFailure: if the answer holds other than `sampling.samples` completions.
        LVLMError: if the server is set up so that completions are incomplete.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        raise ServerFailure("sends no chat completion; is this the address of an OpenAI-compatible API?")
    by_index = {choice.get("index"): choice for choice in choices if isinstance(choice.get("index"), int)}
    if sorted(by_index) != list(range(sampling.samples)) or len(choices) != sampling.samples:
        raise ServerFailure(f"sends {len(choices)} completions for a request of {sampling.samples}")
    return [_completion(url, by_index[index], sampling) for index in range(sampling.samples)]


def _completion(url: str, choice: dict[str, Any], sampling: Sampling) -> str:
    message = choice.get("message")
    if not isinstance(message, dict):
        raise ServerFailure("sends a completion without a message")
    text, end, ids = message.get("content"), choice.get("finish_reason"), choice.get("token_ids")
    if any(message.get(name) for name in ("reasoning", "reasoning_content")):
        raise LVLMError(
            f"{url}: takes parts of the completions for thoughts and leaves them out; serve without --reasoning-parser"
        )
    if end not in _ENDS:
        raise ServerFailure("ends a completion early")
    # some servers send null for an empty text, which is its end token alone
    has_text = isinstance(ids, list) and len(ids) > 1
    if not isinstance(text, str | None) or (text is None and has_text):
        raise ServerFailure("sends a completion without its text")
    if len(text or "") > _LONGEST_TOKEN * sampling.max_new_tokens:
        raise ServerFailure("sends a completion that is longer than max_new_tokens")
    if end == "length" and isinstance(ids, list) and len(ids) < sampling.max_new_tokens:
        raise LVLMError(
            f"{url}: cuts completions after {len(ids)} of max_new_tokens {sampling.max_new_tokens}; serve with a "
            "greater --max-model-len, and with --generation-config vllm"
        )
    return (text or "").strip()
