import json

from lightning import LightningModule, Trainer

from callbacks.round_logger import RoundLogger
from lightning_c3l.rounds.store import Round, RunStore


class Recorder:
    """Stands where a trainer's logger stands."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict, int]] = []

    def log_metrics(self, metrics: dict, step: int) -> None:
        self.seen.append((metrics, step))


class Run:
    is_global_zero = True
    global_step = 7

    def __init__(self, folder, recorder) -> None:
        self.default_root_dir, self.loggers = str(folder), [recorder]


def test_each_finished_round_is_logged_once_also_after_a_resume(tmp_path):
    store, recorder = RunStore(tmp_path), Recorder()
    store.write_round(0, Round([], [], {}, {"round": 0, "i2c_mean": 0.5, "kind_shares": {"color": 1.0}}))
    first = RoundLogger()
    for _ in range(2):
        first.on_train_epoch_start(Run(tmp_path, recorder), LightningModule())
    assert recorder.seen == [({"round/round": 0, "round/i2c_mean": 0.5, "round/kind_color": 1.0}, 7)]
    store.write_round(1, Round([], [], {}, {"round": 1}))
    resumed = RoundLogger()
    resumed.load_state_dict(json.loads(json.dumps(first.state_dict())))
    resumed.on_train_epoch_start(Run(tmp_path, recorder), LightningModule())
    assert [metrics["round/round"] for metrics, _ in recorder.seen] == [0, 1]
    # a round at which the guard stopped is followed by no epoch
    store.write_round(2, Round([], [], {}, {"round": 2}))
    resumed.on_train_end(Run(tmp_path, recorder), LightningModule())
    assert [metrics["round/round"] for metrics, _ in recorder.seen] == [0, 1, 2]


def test_no_logger_no_work(tmp_path):
    trainer = Trainer(logger=False, enable_checkpointing=False, default_root_dir=tmp_path, accelerator="cpu")
    RoundLogger().on_train_epoch_start(trainer, LightningModule())
