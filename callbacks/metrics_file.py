"""`metrics.csv` of a whole run, however often it was interrupted."""

import csv
import warnings
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter

from lightning_c3l.runs.atomic import atomic_path, naming


class MetricsFile(CSVLogger):
    """Lightning's CSV logger, which would delete what was logged before the run was interrupted."""

    @property
    @rank_zero_experiment
    def experiment(self) -> "_Writer":
        """The writer of the file."""
        if self._experiment is None:
            self._experiment = _Writer(self.log_dir)
        return self._experiment  # type: ignore[return-value]

    def go_on_from(self, step: int) -> None:
        """Remove the rows of steps that will be taken again, and those of another run."""
        self.experiment.forget_from(step)


class _Writer(ExperimentWriter):
    """Appends to the file that is there."""

    def forget_from(self, step: int) -> None:
        """Keep only the rows of earlier steps."""
        rows = [row for row in self._rows() if row["step"].isdecimal() and int(row["step"]) < step]
        self.metrics_keys = sorted({key for row in rows for key in row})
        if rows:
            self._write(rows)
        else:
            Path(self.metrics_file_path).unlink(missing_ok=True)

    def save(self) -> None:
        """Save as Lightning does; an error names the file."""
        with naming(Path(self.metrics_file_path)):
            super().save()

    def _rows(self) -> list[dict[str, str]]:
        """The whole rows of the file: a killed process may have left part of one. A damaged file is put aside."""
        path = Path(self.metrics_file_path)
        try:
            with path.open(encoding="utf-8", newline="") as file:
                lines = [line for line in file if line.endswith("\n")]
            rows = [row for row in csv.DictReader(lines) if None not in row.values() and None not in row]
            if any("step" not in row for row in rows):
                raise ValueError("it has no column step")
        except FileNotFoundError:
            return []
        except (ValueError, csv.Error) as error:
            aside = path.replace(path.with_name(f"{path.name}.damaged"))
            warnings.warn(f"{path}: is damaged ({error}); it is kept as {aside}, and begun again", stacklevel=2)
            return []
        return rows

    def _write(self, rows: list[dict[str, Any]]) -> None:
        with (
            atomic_path(self.metrics_file_path) as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, fieldnames=self.metrics_keys)
            writer.writeheader()
            writer.writerows(rows)

    def _rewrite_with_new_header(self, fieldnames: list[str]) -> None:
        self._write(self._rows())

    def _check_log_dir_exists(self) -> None:
        """No-op: nothing is deleted before it is known from which step the run resumes."""
