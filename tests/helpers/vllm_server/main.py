"""Program of a stand-in in a process of its own: checkpoint, model name, faults as JSON, port (0: any free one)."""

import json
import os
import sys
import threading
from collections import deque

from tests.helpers import torchvision_shim

# before anything imports transformers, which looks for torchvision once
torchvision_shim.enable()


def main() -> None:
    """Serve until killed; the port is printed once requests are answered."""
    from tests.helpers.vllm_server.running import start

    checkpoint, name, faults, port = sys.argv[1:5]
    options = json.loads(faults)
    if "answers" in options:
        options["answers"] = deque(options["answers"])
    print(start(checkpoint, name, port=int(port), **options).port, flush=True)
    parent = os.getppid()
    while os.getppid() == parent:  # a test that was killed leaves no server behind
        threading.Event().wait(1)


if __name__ == "__main__":
    main()
