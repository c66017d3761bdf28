"""Hand-over of the weights of this process to servers of vLLM, one set of weights at a time."""

import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from lightning_c3l.distributed.collectives import barrier, gather, is_rank_zero, on_rank_zero, rank
from lightning_c3l.lvlm.errors import LVLMError
from lightning_c3l.lvlm.external import ServableLVLM
from lightning_c3l.lvlm.served.checks import (
    Expectation,
    ProbeAnswers,
    WrongWeightsError,
    compare,
    default_tolerance,
    own_answers,
    served_answers,
)
from lightning_c3l.lvlm.served.options import ServedOptions
from lightning_c3l.lvlm.served.vllm_api import VLLMServer, VLLMServers
from lightning_c3l.lvlm.served.weight_files import ServedWeights, save_trial_adapter, save_weights
from lightning_c3l.runs.endpoints import leads_here, quotable

_AT_ONCE = 16


@dataclass(frozen=True)
class _Known:
    """What the LVLM of this process says of the probes, and how far a server may be off."""

    lvlm: ServableLVLM
    own: ProbeAnswers
    base: ProbeAnswers | None
    tolerance: float


class HandOver:
    """Hands the weights of an LVLM to servers and checks that they answer with them.

    A server that several processes ask is looked after by the first of them. Of the adapters on a server, only those
    that this run has loaded are unloaded.

    Args:
        servers: those that this process asks.
        options: of the generator.
        model: name under which the servers serve the base.
    """

    def __init__(self, servers: VLLMServers, options: ServedOptions, model: str) -> None:
        self.servers, self.options, self.model = servers, options, model
        self.folder = Path(options.handover).absolute()
        self._leads: list[VLLMServer] | None = None
        self._now = self._loaded = ServedWeights("", model)
        self._expected: _Known | None = None
        # of the base, by the fingerprint of its LVLM
        self._bases = dict[str, ProbeAnswers | None]()
        # of the last two that were handed over
        self._adapters: list[tuple[str, ProbeAnswers]] = []
        # by address: how far the answers of its base were off, once checked, and which full weights it has
        self._rounding, self._weights = dict[str, float](), dict[str, str]()
        self._in_flight, self._lock = dict[str, int](), Lock()
        self._is_tried = False

    def wake(self) -> None:
        """Wake the servers that sleep; collective."""

        def wake(server: VLLMServer) -> None:
            if server.is_sleeping():
                server.wake_up()

        self._everywhere(wake)

    def sleep(self) -> None:
        """Let the servers sleep, where they can and `options.sleep` allows it; collective, once no request runs."""

        def sleep(server: VLLMServer) -> None:
            if server.is_sleeping() is False:
                server.sleep()

        barrier()
        if self.options.sleep:
            self._everywhere(sleep)

    def model_for(self, lvlm: ServableLVLM) -> str:
        """Have the servers serve the weights of an LVLM as they are now; collective, with whole weights.

        The base is checked before, once for each start of a server.

        Returns:
            The name that requests must give.

        Raises:
            LVLMError: if the servers cannot serve these weights, or have another base.
        """
        weights = on_rank_zero(lambda: self._prepare(lvlm))
        known = self._known(lvlm, weights)
        self._everywhere(lambda server: self._serve(server, weights, known))
        if not weights.digest:
            self._try_adapter(lvlm)
        old, self._now, self._expected = self._loaded, weights, known
        if weights.folder is not None:
            self._loaded = weights
            if old.folder not in (None, weights.folder) and is_rank_zero():
                shutil.rmtree(old.folder, ignore_errors=True)
        return weights.model

    def check(self, lvlm: ServableLVLM, name: str) -> float:
        """Compare probe answers of the servers with those of an LVLM; collective, with whole weights.

        Args:
            lvlm: as given to `model_for`.
            name: what that returned.

        Returns:
            Largest mean difference per token in nats, over the servers that this process looks after.

        Raises:
            LVLMError: if a server does not answer with these weights; names the likely cause.
        """
        weights, known = self._now, self._expected
        assert known is not None, "nothing was handed over"
        assert (name, lvlm) == (weights.model, known.lvlm), "check what was handed over last"
        off = dict[str, float]()

        def check(server: VLLMServer) -> None:
            off[server.url] = self._check(server, weights, known)

        self._everywhere(check)
        return max(off.values(), default=0.0)

    @property
    def forgets_weights(self) -> bool:
        """Whether a server that is started again would answer with other weights under the same name."""
        return self._now.is_full

    def restore(self, url: str) -> None:
        """Hand the current weights to a server that has been restarted, and check it; not collective.

        Args:
            url: address of the server.

        Raises:
            LVLMError: as `model_for` and `check`.
        """
        server, weights, known = self.servers[url], self._now, self._expected
        assert known is not None, "nothing was handed over"
        # the base is not asked now: requests for the adapter may be in flight
        if weights.is_full:
            # it may have lost a connection alone, and reloading disturbs requests of other processes
            self._check(server, weights, known)
            return
        self._place(server, weights)
        self._compare(server, weights, known)

    @contextmanager
    def in_flight(self, name: str) -> Iterator[None]:
        """Guards requests: servers may mix up base and adapters in one batch, so only one model may be in flight.

        Args:
            name: model that the requests inside give.

        Raises:
            AssertionError: if requests for another model are in flight.
        """
        with self._lock:
            assert not self._in_flight.keys() - {name}, f"{name} is asked while {list(self._in_flight)} is in flight"
            self._in_flight[name] = self._in_flight.get(name, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._in_flight[name] -= 1
                if not self._in_flight[name]:
                    del self._in_flight[name]

    def _prepare(self, lvlm: ServableLVLM) -> ServedWeights:
        """Write the weights of an LVLM to the folder that is shared with the servers, unless they are the base's."""
        if ignored := lvlm.adapted_outside_decoder():
            raise LVLMError(
                f"lora.vision: servers ignore adapters outside of the decoder, such as that of {ignored[0]}; leave "
                "lora.vision out, or set generator: null"
            )
        return save_weights(lvlm, self.folder, self.model)

    def _try_adapter(self, lvlm: ServableLVLM) -> None:
        """Load and unload an adapter that nothing is asked of: the first trained one comes after a whole round."""
        if self._is_tried or lvlm.saved_as != "adapter":
            return
        if not any(value.requires_grad for value in lvlm.network.parameters()):
            return
        name = on_rank_zero(lambda: save_trial_adapter(lvlm, self.folder))
        try:
            self._everywhere(lambda server: server.load_adapter(name, self.folder / name))
            # only then, since a server may have several addresses
            self._everywhere(lambda server: server.unload_adapter(name))
        finally:
            if is_rank_zero():
                shutil.rmtree(self.folder / name, ignore_errors=True)
        self._is_tried = True

    def _serve(self, server: VLLMServer, weights: ServedWeights, known: _Known) -> None:
        if self.model not in (models := server.models()):
            served = quotable(", ".join(models), self.options.key())
            raise LVLMError(f"{server.url}: serves {served}, not generator.model {self.model}; name its base")
        if not self._loaded.is_full and self._loaded.model not in models:
            # it has been started again since
            self._rounding.pop(server.url, None)
        if weights.digest and known.base is not None and server.url not in self._rounding:
            self._check_base(server, known)
        self._place(server, weights)

    def _place(self, server: VLLMServer, weights: ServedWeights) -> None:
        """Load an adapter and unload the one before, or reload all weights if the server has others."""
        if weights.is_full or server.url in self._weights:
            if self._weights.get(server.url) != weights.digest:
                source = server.models()[self.model] if weights.folder is None else str(weights.folder)
                server.reload_weights(source)
                self._weights[server.url] = weights.digest
        elif weights.folder is not None:
            if self._loaded.digest not in ("", weights.digest):
                server.unload_adapter(self._loaded.digest)
            server.load_adapter(weights.model, weights.folder)

    def _check(self, server: VLLMServer, weights: ServedWeights, known: _Known) -> float:
        if not weights.digest:
            return self._check_base(server, known)
        try:
            return self._compare(server, weights, known)
        except WrongWeightsError:
            if not weights.is_full:
                raise
            # it may have been started again: the base then has the same name
            self._weights.pop(server.url, None)
            self._place(server, weights)
            return self._compare(server, weights, known)

    def _compare(self, server: VLLMServer, weights: ServedWeights, known: _Known) -> float:
        served = served_answers(server, weights.model, known.lvlm, known.own)
        return compare(f"{server.url}: {weights.model}", served, self._expectation(server.url, weights, known))

    def _check_base(self, server: VLLMServer, known: _Known) -> float:
        """Check what the server answers as its base; weights that another run has left there are replaced."""
        assert known.base is not None
        others = {} if known.own is known.base else {"mixed": known.own}
        expected = Expectation(known.base, others, known.tolerance, is_base=True)
        where = f"{server.url}: {self.model}"
        served = served_answers(server, self.model, known.lvlm, known.base)
        try:
            off = compare(where, served, expected)
        except WrongWeightsError as error:
            if known.lvlm.saved_as != "model":
                raise
            try:
                server.reload_weights(server.models()[self.model])
            except LVLMError:
                raise error from None
            self._weights[server.url] = ""
            off = compare(where, served_answers(server, self.model, known.lvlm, known.base), expected)
        self._rounding[server.url] = off
        return off

    def _expectation(self, url: str, weights: ServedWeights, known: _Known) -> Expectation:
        others = {} if known.base is None or not weights.digest else {"base": known.base}
        if earlier := [answers for name, answers in self._adapters if name != weights.digest]:
            others["previous"] = earlier[-1]
        return Expectation(known.own, others, known.tolerance, not weights.digest, self._rounding.get(url, 0.0))

    def _known(self, lvlm: ServableLVLM, weights: ServedWeights) -> _Known:
        """What the weights of this process say of the probes, and what its base does."""
        tolerance = self.options.tolerance or default_tolerance(lvlm)
        base = self._bases.get(lvlm.fingerprint)
        if not weights.digest:
            own = self._bases[lvlm.fingerprint] = base or own_answers(lvlm)
            return _Known(lvlm, own, own, tolerance)
        if lvlm.fingerprint not in self._bases:
            base = self._bases[lvlm.fingerprint] = _reference_answers(lvlm)
        stored = dict(self._adapters)
        if weights.digest not in stored:
            self._adapters = [*self._adapters[-1:], (weights.digest, own_answers(lvlm))]
        return _Known(lvlm, dict(self._adapters)[weights.digest], base, tolerance)

    def _led(self) -> list[VLLMServer]:
        """The servers that this process looks after; collective when it is first called."""
        if self._leads is None:
            own, first = [(url, _node(url)) for url in self.servers.urls], dict[tuple[str, str], int]()
            for index, keys in enumerate(gather(own)):
                for key in keys:
                    first.setdefault(key, index)
            self._leads = [self.servers[url] for url, node in own if first[url, node] == rank()]
        return self._leads

    def _everywhere(self, work: Callable[[VLLMServer], None]) -> None:
        """Do something at all servers, each from the process that looks after it; the first error is raised."""
        problem: LVLMError | None = None
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for done in [pool.submit(work, server) for server in self._led()]:
                try:
                    done.result()
                except LVLMError as error:
                    problem = problem or error
        problems = gather(None if problem is None else str(problem))
        if (first := next(filter(None, problems), None)) is not None:
            if is_rank_zero():
                raise LVLMError(first) from problem
            raise SystemExit(2)


def _reference_answers(lvlm: ServableLVLM) -> ProbeAnswers | None:
    """Probe answers of the base; None under full fine-tuning without a copy of it."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lvlm.reference())
        except LVLMError:
            return None
        return own_answers(lvlm)


def _node(url: str) -> str:
    """Name of this machine if an address leads to it: each has a server of its own there."""
    return socket.gethostname() if leads_here(url) else ""
