"""Asks an LVLM in this process, without a picture."""

from collections.abc import Callable, Mapping

from lightning_c3l.lvlm.base import ConversationError, GenerationRequest, Sampling, TextGenerator
from lightning_c3l.lvlm.batch_size import BatchSize

# the marks and a few sentences; nobody pays for fewer
MAX_NEW_TOKENS = 256
_BATCH_SIZE = 8


class LocalReplies:
    """Replies of an LVLM, each the likeliest text.

    Args:
        lvlm: who replies.
        name: what it is called.
        max_new_tokens: longest reply; the marks stand at its beginning.
    """

    def __init__(self, lvlm: TextGenerator, name: str, max_new_tokens: int = MAX_NEW_TOKENS) -> None:
        self.name, self._lvlm = name, lvlm
        self._sampling = Sampling(samples=1, max_new_tokens=max_new_tokens, temperature=0.0)

    def ask(self, prompts: Mapping[str, str], keep: Callable[[str, str], object]) -> dict[str, str]:
        """Ask for all replies; see `Replying.ask`."""
        missing, problems = dict(prompts), dict[str, str]()

        def done(key: str, reply: str) -> None:
            del missing[key]
            keep(key, reply)

        batch = BatchSize(_BATCH_SIZE, "prompts of the judge at once")
        try:
            batch.run(lambda size: self._write(missing, done, size))
        except ConversationError:  # one that is too long takes its batch along: now each alone
            for key, prompt in dict(missing).items():
                try:
                    self._write({key: prompt}, done, 1)
                except ConversationError as error:
                    problems[key] = f"judge {self.name}: {error}"
        return problems

    def _write(self, prompts: Mapping[str, str], done: Callable[[str, str], None], size: int) -> None:
        keys = list(prompts)
        self._lvlm.generate(
            [GenerationRequest(prompt) for prompt in prompts.values()],
            self._sampling,
            size,
            finished=lambda number, texts: done(keys[number], texts[0]),
        )
