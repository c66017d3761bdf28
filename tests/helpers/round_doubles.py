"""A datamodule and a run that the round callback goes through without a trainer."""

from types import SimpleNamespace

from callbacks.i2c_reweighting import I2CReweighting
from data_modules.scenes import SceneImages, SceneTruth
from lightning_c3l.rounds.store import RunStore


class Data:
    """A datamodule's side of the protocol."""

    longest_side, round = None, -1

    def __init__(self, count: int) -> None:
        self.truth, self.rejected, self.handed = SceneTruth(), [], []
        self._source = SceneImages(count, seed=2)
        self.gone, self.changed = set(), {}

    def source(self, name: str):
        return self._source, [key for key in self._source.keys() if key not in self.gone]  # noqa: SIM118

    def digests(self, name: str) -> dict[str, str]:
        return {key: self.changed.get(key, "as it was") for key in self.source(name)[1]}

    def set_round(self, number, groups, descriptions) -> None:
        self.handed.append((number, groups, descriptions))


class Run:
    should_stop, max_epochs, current_epoch, callbacks, fast_dev_run = False, 4, 0, (), False
    max_steps, global_step, is_last_batch, fit_loop = -1, 0, True, SimpleNamespace(_can_stop_early=True)

    def __init__(self, folder, data) -> None:
        self.default_root_dir, self.datamodule = str(folder), data


def made(module, folder, count: int, **options):
    data = Data(count)
    I2CReweighting(**options).on_fit_start(Run(folder, data), module)
    return RunStore(folder).read_round(0)
