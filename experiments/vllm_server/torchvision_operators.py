"""Lets torchvision be imported beside a CPU build of torch; copied into the environment of vLLM, on which it runs.

There is no torchvision for torch's CPU builds. Its ordinary wheel does, once the operators that its Python code names
are declared: no image processor calls one.
"""

import sys
from typing import Any


class Finder:
    """Declares the operators before torchvision is imported; finds nothing itself."""

    # operators are forgotten with the object that declared them
    declared: Any = None

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        """Leave the module to the finders that follow."""
        if name == "torchvision" and self.declared is None:
            import torch  # late: most processes of the environment need neither

            if torch.version.cuda is None:
                self.declared = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
                for operator in ("nms", "qnms"):
                    self.declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


sys.meta_path.insert(0, Finder())
