"""A judge in this process: an LVLM that is asked without an image."""

from collections.abc import Callable, Mapping

from lightning_c3l.lvlm.base import ConversationError, GenerationRequest, Sampling, TextGenerator
from lightning_c3l.lvlm.batch_size import BatchSize

# enough for the ratings and a few sentences
MAX_NEW_TOKENS = 256
_BATCH_SIZE = 8


class LocalResponder:
    """Replies with an LVLM's greedy completions; see `Responder`.

    Args:
        lvlm: LVLM that replies.
        name: name of the judge in reviews.
        max_new_tokens: maximum length of a reply, in tokens; the ratings are at its beginning.
    """

    def __init__(self, lvlm: TextGenerator, name: str, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        self.name, self._lvlm = name, lvlm
        self._sampling = Sampling(samples=1, max_new_tokens=max_new_tokens, temperature=0.0)

    def ask(self, prompts: Mapping[str, str], on_reply: Callable[[str, str], object]) -> dict[str, str]:
        """Reply to all prompts that fit into the context."""
        missing, problems = dict(prompts), dict[str, str]()

        def generate(keys: list[str], size: int) -> None:
            def finished(index: int, texts: list[str]) -> None:
                del missing[keys[index]]
                on_reply(keys[index], texts[0])

            requests = [GenerationRequest(missing[key]) for key in keys]
            self._lvlm.generate(requests, self._sampling, size, finished=finished)

        batch = BatchSize(_BATCH_SIZE, "prompts of the judge at once")
        try:
            batch.run(lambda size: generate(list(missing), size))
        except ConversationError:  # a prompt that is too long fails its whole batch: now one by one
            for key in list(missing):
                try:
                    generate([key], 1)
                except ConversationError as error:
                    problems[key] = f"judge {self.name}: {error}"
        return problems
