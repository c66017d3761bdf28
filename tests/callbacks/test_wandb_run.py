"""A run does not need W&B, and W&B's run is the one of the run folder."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import wandb
from lightning.pytorch.utilities import rank_zero_only
from wandb.sdk.lib import urls, wbauth

from callbacks import wandb_run
from callbacks.wandb_run import KEPT, Mode, WandbRunLogger, decide_mode, finish_runs, run_name, wandb_logger
from lightning_c3l.runs.folder import RunConfig

KEY = "0123456789" * 4
# the server that wandb takes where it is told of none
_SERVER = urlsplit(urls.DEFAULT_BASE_URL).netloc


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is logged in, and wandb remembers nothing of other tests."""
    # first: the address of its service is in the environment
    wandb.teardown()
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """Nor do other tests remember these."""
    yield
    wandb.teardown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (made := tmp_path / "runs" / "name" / "version_0").mkdir(parents=True)
    return made


@pytest.fixture
def logger(folder: Path, monkeypatch: pytest.MonkeyPatch) -> WandbRunLogger:
    # only its presence and form are looked at: nothing is sent
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    return wandb_logger(RunConfig(wandb="project"), folder, {})


class Run:
    """As much of W&B's run as the logger uses."""

    sync_dir = "wandb/run-1"
    disabled, url, name, entity, project = False, "https://a.server/runs/1", "name", "", "project"

    def __init__(self, mode: str, id: str | None) -> None:
        self.logged: list[dict[str, Any]] = []
        self.alive = True
        self.finished: list[int] = []
        self.offline, self.id = mode == "offline", id or "new"

    def define_metric(self, *names: str, **options: object) -> None:
        pass

    def finish(self, exit_code: int) -> None:
        self.finished.append(exit_code)

    def log(self, metrics: dict[str, Any], **options: object) -> None:
        if not self.alive:
            raise ConnectionResetError("Connection lost")
        self.logged.append(metrics)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Modes in which W&B was begun; online it cannot be reached."""
    modes = list[str]()

    def init(mode: str, id: str | None, **options: object) -> Run:
        modes.append(mode)
        if mode == "online":
            raise wandb.errors.CommError("Timed out [type=timeout, input_value='a secret']")
        return Run(mode, id)

    monkeypatch.setattr(wandb, "init", init)
    return modes


def said(recwarn: pytest.WarningsRecorder) -> list[str]:
    return [str(one.message) for one in recwarn if "W&B" in str(one.message)]


def test_a_server_that_cannot_be_reached_is_asked_once(
    logger: WandbRunLogger, begun: list[str], recwarn: pytest.WarningsRecorder
) -> None:
    for step in range(3):
        logger.log_metrics({"loss": 1.0}, step)
    assert said(recwarn) == ["W&B cannot be reached, this run is logged offline: Timed out"]
    assert begun == ["online", "offline"]
    assert logger.experiment.logged == [{"loss": 1.0, "trainer/global_step": step} for step in range(3)]


def test_it_may_go_away_in_the_middle(
    logger: WandbRunLogger, begun: list[str], recwarn: pytest.WarningsRecorder
) -> None:
    logger.log_metrics({"loss": 1.0}, 0)
    logger.experiment.alive = False
    recwarn.clear()
    for step in range(1, 4):
        logger.log_metrics({"loss": 1.0}, step)
    logger.log_hyperparams({"rank": 2})
    logger.summarize({"final/x": 1.0})
    logger.finalize("success")
    assert said(recwarn) == ["W&B no longer answers, the run goes on without it: ConnectionResetError: Connection lost"]
    assert len(logger.experiment.logged) == 1


def test_the_run_goes_on_where_it_cannot_even_be_offline(
    logger: WandbRunLogger, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def init(**options: object) -> Run:
        raise OSError("No space left on device")

    monkeypatch.setattr(wandb, "init", init)
    # Lightning asks for it when the trainer is set up
    _ = logger.experiment
    logger.log_metrics({"loss": 1.0}, 0)
    logger.finalize("success")
    assert said(recwarn)[-1] == "W&B cannot be used, the run goes on without it: No space left on device"
    assert logger.where is None


def test_a_failed_run_is_told_and_writes_no_more(logger: WandbRunLogger, begun: list[str]) -> None:
    # of a run that fails before it has logged anything
    finish_runs(2)
    assert begun == []
    run = logger.experiment
    # Lightning does not know the exit status
    logger.finalize("failed")
    assert run.finished == []
    finish_runs(143)
    finish_runs(1)
    logger.finalize("success")
    assert run.finished == [143]


@pytest.mark.parametrize(
    ("project", "given"),
    [("mine", (None, "mine")), ("team/mine", ("team", "mine")), ("my team/a b", ("my team", "a b"))],
)
def test_an_entity_may_stand_before_the_project(
    project: str, given: tuple[str | None, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dict[str, Any]()
    monkeypatch.setattr(wandb, "init", lambda **all_: options.update(all_) or Run("offline", None))
    _ = wandb_logger(RunConfig(wandb=project), folder, {"model": {"lora": {"rank": 2}}}).experiment
    assert (options["entity"], options["project"]) == given
    assert options["config"] == {"model": {"lora": {"rank": 2}}}


SERVER = "http://wandb.example.org:8080"


@pytest.mark.parametrize(
    ("environment", "wanted", "mode"),
    [
        ({}, None, Mode("offline", "nobody is logged in to wandb.example.org:8080")),
        ({}, "online", Mode("offline", "nobody is logged in to wandb.example.org:8080")),
        ({"WANDB_API_KEY": KEY}, None, Mode("online", "WANDB_API_KEY for wandb.example.org:8080")),
        (
            {"WANDB_IDENTITY_TOKEN_FILE": "token"},
            None,
            Mode("online", "WANDB_IDENTITY_TOKEN_FILE for wandb.example.org:8080"),
        ),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"}, None, Mode("offline", "WANDB_MODE")),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "dryrun"}, None, Mode("offline", "WANDB_MODE")),
        ({"WANDB_API_KEY": KEY, "WANDB_MODE": "disabled"}, None, Mode("disabled", "WANDB_MODE")),
        (
            {"WANDB_API_KEY": KEY, "WANDB_MODE": "offline"},
            "online",
            Mode("online", "WANDB_API_KEY for wandb.example.org:8080"),
        ),
        ({"WANDB_API_KEY": KEY}, "offline", Mode("offline", "run.wandb_mode")),
        ({"WANDB_API_KEY": KEY}, "disabled", Mode("disabled", "run.wandb_mode")),
    ],
)
def test_the_mode_is_what_wandb_says(
    environment: dict[str, str], wanted: Any, mode: Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"WANDB_BASE_URL": SERVER, **environment}.items():
        monkeypatch.setenv(name, value)
    assert decide_mode(wanted) == mode


@pytest.mark.parametrize("server", [None, SERVER])
def test_a_stored_login_counts_for_its_server_only(
    server: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", server or urls.DEFAULT_BASE_URL)
    # what `wandb login` does with a key
    wbauth.write_netrc_auth(host=server or urls.DEFAULT_BASE_URL, api_key=KEY)
    found = decide_mode(None)
    assert (found.name, found.reason.partition(" for ")[0]) == ("online", "the stored login")
    wandb.teardown()
    monkeypatch.setenv("WANDB_BASE_URL", "http://another.example.org")
    assert decide_mode(None) == Mode("offline", "nobody is logged in to another.example.org")


def test_credentials_that_cannot_be_right_are_said_without_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short!secret")
    found = decide_mode(None)
    assert found.name == "offline"
    assert "WANDB_API_KEY" in found.reason
    assert "secret" not in found.reason


def test_an_environment_that_wandb_does_not_accept_leaves_it_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    assert decide_mode(None).name == "disabled"
    logger = wandb_logger(RunConfig(), folder, {})
    logger.log_metrics({"loss": 1.0}, 0)
    logger.finalize("success")
    assert not said(recwarn)
    assert not list(folder.iterdir())


def test_disabled_writes_nothing(folder: Path) -> None:
    logger = wandb_logger(RunConfig(wandb_mode="disabled"), folder, {})
    _ = logger.experiment
    logger.log({"round": 0})
    logger.log_files("report", [Path(__file__)])
    logger.finalize("success")
    assert not list(folder.iterdir())


def test_a_resumed_folder_continues_its_run(folder: Path, begun: list[str]) -> None:
    names = {"i2c.margin": 0.2}
    first = wandb_logger(RunConfig(), folder, {}, names)
    assert first.experiment.id == "new"
    assert first.where == "wandb sync runs/name/version_0/wandb"
    (folder / KEPT).write_text(json.dumps({**json.loads((folder / KEPT).read_text()), "id": "kept"}))
    second = wandb_logger(RunConfig(), folder, {})
    assert second.experiment.id == "kept"
    assert second.where == "WANDB_RESUME=allow wandb sync runs/name/version_0/wandb"


def test_what_a_killed_process_left_without_a_record_is_removed(folder: Path, begun: list[str]) -> None:
    contents = {"empty": b":W&B\xe1\xbe\x00", "cut": b":W", "begun": b":W&B\xe1\xbe\x00\x01"}
    for name, content in contents.items():
        piece = folder / "wandb" / f"offline-run-{name}"
        piece.mkdir(parents=True)
        (piece / "run-1.wandb").write_bytes(content)
    wandb_logger(RunConfig(), folder, {}).log({"a": 1})
    assert [file.parent.name for file in (folder / "wandb").glob("*/*.wandb")] == ["offline-run-begun"]


def test_a_piece_that_wandb_has_still_to_write_stays(
    folder: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "wandb" / "offline-run-1" / "run-1.wandb"
    file.parent.mkdir(parents=True)
    monkeypatch.setattr(Run, "sync_dir", str(file.parent))
    first = wandb_logger(RunConfig(), folder, {})
    first.log({"a": 1})
    # `finish` of wandb returns before the records are in the file
    file.write_bytes(b":W&B\xe1\xbe\x00")
    first.finalize("success")
    wandb_logger(RunConfig(), folder, {}).log({"a": 2})
    assert file.exists()


def test_a_trial_of_a_sweep_has_the_id_that_its_agent_gave(
    folder: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / KEPT).write_text('{"id": "kept"}')
    monkeypatch.setenv("WANDB_RUN_ID", "trial")
    assert wandb_logger(RunConfig(), folder, {}).experiment.id == "trial"
    assert json.loads((folder / KEPT).read_text())["id"] == "trial"


@pytest.mark.parametrize(("wanted", "kinds"), [(True, ["report"]), (False, [])])
def test_files_are_left_out_if_they_are_not_wanted(
    wanted: bool, kinds: list[str], folder: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(folder))
    logged = list[Any]()
    monkeypatch.setattr(Run, "log_artifact", lambda run, artifact: logged.append(artifact), raising=False)
    logger = wandb_logger(RunConfig(wandb_artifacts=wanted), folder, {})
    (folder / "report.html").write_text("a page")
    logger.log_files("report", [folder / "report.html"])
    logger.log_files("dataset", [folder / "vlit.json"])
    assert [artifact.type for artifact in logged] == kinds


def test_where_a_run_is_is_said_when_it_begins_and_when_it_ends(
    folder: Path, begun: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = list[str]()
    monkeypatch.setattr(wandb_run, "rank_zero_info", lines.append)
    logger = wandb_logger(RunConfig(), folder, {})
    _ = logger.experiment
    where = "wandb sync runs/name/version_0/wandb"
    assert [line.replace(_SERVER, "SERVER") for line in lines] == [
        f"W&B: offline (nobody is logged in to W&B's cloud, SERVER): {where}"
    ]
    logger.finalize("success")
    assert lines[1:] == [f"W&B: {where}"]


def test_an_address_is_said_online(logger: WandbRunLogger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wandb, "init", lambda mode, id, **_: Run(mode, id))
    _ = logger.experiment
    assert logger.where == "https://a.server/runs/1"


def test_a_server_that_is_too_slow_in_the_end_is_not_waited_for(
    logger: WandbRunLogger, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    def finish(run: Run, exit_code: int) -> None:
        raise TimeoutError("Timed out finishing run.")

    monkeypatch.setattr(wandb, "init", lambda mode, id, **_: Run(mode, id))
    monkeypatch.setattr(Run, "finish", finish)
    _ = logger.experiment
    logger.finalize("success")
    assert said(recwarn) == [
        "W&B did not take everything in time; to upload it again: wandb sync --include-online wandb/run-1"
    ]


def test_other_processes_than_the_first_have_no_run(
    logger: WandbRunLogger, begun: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    _ = logger.experiment
    logger.log_metrics({"loss": 1.0}, 0)
    logger.log({"round": 0})
    logger.summarize({"final/x": 1.0})
    logger.finalize("success")
    assert begun == []
    assert not list(folder.iterdir())


def test_credentials_in_options_stay_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["lightning_c3l", "fit", "--data.images", "pipe:curl -u me:s3cret https://host"]
    seen = list[Any]()
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(wandb, "init", lambda **all_: seen.append((list(sys.argv), all_)) or Run("offline", None))
    options = {"images": words[-1]}
    _ = wandb_logger(RunConfig(), folder, {"data": options}, {"data.images": words[-1]}).experiment
    ((argv, given),) = seen
    assert argv == [*words[:-1], "pipe:curl …"]
    assert (given["config"], given["name"]) == ({"data": {"images": "pipe:curl …"}}, "c3l/0 images=pipe:curl …")
    # they are still what the run is begun with
    assert (sys.argv, options["images"]) == (words, words[-1])


def test_names_tell_runs_apart() -> None:
    changed = {"i2c.margin": 0.2, "model.loss.temperature": 0.1, "run.name": "grid", "ckpt_path": "last"}
    assert run_name("grid", Path("runs/grid/version_3"), changed) == "grid/3 margin=0.2, temperature=0.1"
    assert run_name("grid", Path("runs/grid/trial-a1"), {}) == "grid/trial-a1"
    assert len(run_name("x" * 200, Path("version_0"), {})) == 128
