"""A stand-in of vLLM's server on loopback, backed by our own engine, with the faults of servers on demand.

It answers what vLLM 0.32 answers to the requests that this project sends, with vLLM's names, statuses and error bodies.
Its token rows and log-probabilities come from transformers alone, so that they check ours.
"""

from tests.helpers.vllm_server.faults import Faults as Faults
from tests.helpers.vllm_server.process import ServerProcess as ServerProcess
from tests.helpers.vllm_server.process import subprocess_server as subprocess_server
from tests.helpers.vllm_server.running import Server as Server
from tests.helpers.vllm_server.running import serve as serve
from tests.helpers.vllm_server.state import Request as Request
