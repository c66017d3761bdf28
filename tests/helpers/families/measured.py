"""What the suite finds out of a family, kept for the table of families."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import transformers
from torch import Tensor

# gradients of less than this part of the largest are compared with that
_SMALL = 1e-2


@dataclass
class Measured:
    """Largest differences of one family, by subject.

    Attributes:
        name: of the family.
        model_type: of its configuration.
        limit: of differences: of log-probabilities in absolute terms below 1 and relative ones above, of hidden states
            and gradients relative.
        path: name of the path that was chosen; empty if the family is refused.
        path_reason: why no faster one was, or why it is refused.
        training_path: name of the path of training steps.
        differences: subject -> largest difference from plain forwards.
        failed: tests that failed, with the first line of their reason.
        passed: number of tests that passed.
        versions: of transformers and torch.
    """

    name: str
    model_type: str
    limit: float = 1e-4
    path: str = ""
    path_reason: str = ""
    training_path: str = ""
    differences: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    passed: int = 0
    versions: str = f"transformers {transformers.__version__}, torch {torch.__version__}"

    def close(self, subject: str, found: Tensor, expected: Tensor) -> None:
        """Note the largest difference of log-probabilities and assert that it is below the limit."""
        assert found.shape == expected.shape, f"{subject}: {tuple(found.shape)} for {tuple(expected.shape)}"
        difference = ((found - expected).abs() / expected.abs().clamp(min=1)).max()
        self._note(subject, float(difference.detach()))

    def close_states(self, subject: str, found: Tensor, expected: Tensor) -> None:
        """The same of hidden states, relative to the largest of them."""
        assert found.shape == expected.shape, f"{subject}: {tuple(found.shape)} for {tuple(expected.shape)}"
        self._note(subject, float((found - expected).abs().max().detach() / expected.abs().max().detach()))

    def close_gradients(self, subject: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
        """Note the largest difference of a parameter's gradient relative to its norm."""
        assert found.keys() == expected.keys()
        floor = _SMALL * max(float(gradient.norm()) for gradient in expected.values())
        assert floor > 0
        for name, gradient in expected.items():
            self._note(subject, float((found[name] - gradient).norm()) / max(float(gradient.norm()), floor))

    def _note(self, subject: str, difference: float) -> None:
        self.differences[subject] = max(self.differences.get(subject, 0.0), difference)
        assert difference < self.limit, f"{subject}: {difference:.1e}"

    def write(self, folder: Path) -> None:
        """One JSON file a family, so that several processes can write."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "list[Measured]":
        """All families of a folder, by type and name."""
        found = [cls(**json.loads(file.read_text())) for file in folder.glob("*.json")]
        return sorted(found, key=lambda one: (one.model_type, one.name))
