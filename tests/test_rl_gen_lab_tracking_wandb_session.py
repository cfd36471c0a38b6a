"""W&B that fails: at its start, while it runs, at the end."""

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import wandb
from tracked_runs import ROOT, read_back, start
from wandb.errors import CommError, UsageError
from wandb_reader import find_logs

from rl_gen_lab.cli.settings import WandbMode
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking import wandb_init

pytestmark = pytest.mark.usefixtures("without_machine_statistics")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "dqn", "Pong", 1)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["a" * 40, "too short"])
def test_a_key_without_a_network_goes_offline_in_one_line(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], key: str
) -> None:
    wandb.teardown()  # W&B reads the environment once per process
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setattr(wandb_init, "START_SECONDS", 1)
    with start(run, "online") as tracker:
        (line,) = capsys.readouterr().out.splitlines()
        tracker.log({"charts/SPS": 5.0}, 5)
    wandb.teardown()
    assert line.startswith("W&B could not start online (") == (key != "too short")
    assert "offline" in line and tracker.mode == "offline"
    assert ("takes what WANDB_API_KEY holds for no key" in line) == (key == "too short")
    assert read_back(run).history[0]["charts/SPS"] == 5


@pytest.mark.parametrize("mode", ["auto", "online"])
@pytest.mark.parametrize("key", ["a" * 40, "too short", None])
@pytest.mark.parametrize("error", [ModuleNotFoundError("No module named 'wandb'"), TypeError("an old protobuf\nmore")])
def test_a_library_that_cannot_be_imported_is_blamed_and_not_the_key(
    run: RunFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: WandbMode,
    key: str | None,
    error: Exception,
) -> None:
    if key is not None:
        monkeypatch.setenv("WANDB_API_KEY", key)
    real = builtins.__import__

    def broken(name: str, *rest: Any, **words: Any) -> Any:
        if name == "wandb":
            raise error
        return real(name, *rest, **words)

    monkeypatch.setattr(builtins, "__import__", broken)
    with start(run, mode) as tracker:
        tracker.log({"charts/SPS": 5.0}, 5)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"W&B cannot be imported ({str(error).splitlines()[0]}): recording in ")
    assert len(run.read_metrics()) == 1


@pytest.mark.parametrize("error", [CommError("no network\nmore"), UsageError("no key"), OSError("no service")])
def test_a_failed_start_falls_back_and_then_gives_up(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def refuse(**_: Any) -> None:
        raise error

    monkeypatch.setattr("rl_gen_lab.tracking.wandb_init._has_key", lambda: True)
    monkeypatch.setattr(wandb, "init", refuse)
    with start(run, "online") as tracker:
        tracker.log({"charts/SPS": 5.0}, 5)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" (")[0] for line in lines] == [
        "W&B could not start online",
        "W&B could not start offline",
    ]
    assert lines[0].endswith("recording offline") and str(error).splitlines()[0] in lines[0]
    assert tracker.mode == "disabled" and len(run.read_metrics()) == 1


def test_a_dead_service_is_said_once_and_training_goes_on(tmp_path: Path) -> None:
    code = """if True:
        import pathlib, sys
        import numpy as np
        import psutil
        from rl_gen_lab.runs.folder import RunFolder
        from rl_gen_lab.tracking.tracker import Tracker, WandbConfig
        run = RunFolder(pathlib.Path(sys.argv[1]))
        tracker = Tracker.start(run, WandbConfig(mode="offline"), algo="dqn", env_id="Pong", seed=1,
                                flat_config={}, fingerprint_hash="a")
        tracker.log({"charts/SPS": 0.0}, 0)
        services = [child for child in psutil.Process().children(recursive=True) if "wandb-core" in child.name()]
        assert services
        for service in services:
            service.kill()
        for step in range(1, 50):
            tracker.log({"charts/SPS": 0.0}, step)
            tracker.histogram("h", np.ones(3), step)
            tracker.summary({"a": 1})
        tracker.finish(0)
        print("trained to the end")
    """
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    assert len(lines) == 2 and lines[0].startswith("W&B stopped: ") and lines[1] == "trained to the end", done
    assert (done.stderr, done.returncode) == ("", 0)
    assert [line["global_step"] for line in RunFolder(tmp_path).read_metrics()] == list(range(50))


def test_a_server_that_dies_costs_nothing_and_the_command_that_sends_the_run_later_is_printed(
    run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = start(run)
    tracker.session.mode = "online"  # a server cannot be had here: the record on disk is the same

    def too_slow(**_: Any) -> None:
        wandb_run_finish()
        raise TimeoutError("Timed out finishing run.")

    assert tracker.session.wandb_run is not None
    wandb_run_finish = tracker.session.wandb_run.finish
    monkeypatch.setattr(tracker.session.wandb_run, "finish", too_slow)
    tracker.log({"charts/SPS": 1.0}, 1)
    tracker.finish(0)
    last = capsys.readouterr().out.splitlines()[-1]
    folder = find_logs(run.path)[0].parent
    assert "Timed out" in last and last.endswith(f"wandb sync --no-skip-online {folder}")
    assert [row["global_step"] for row in read_back(run).history] == [1]


def test_nothing_is_advertised_to_a_program_whose_package_is_called_agents(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setitem(sys.modules, "agents", sys)
    monkeypatch.setattr("wandb.termlog", lambda line="", **_: said.append(line))
    monkeypatch.delenv("WANDB_DISABLE_WEAVE", raising=False)
    with start(run) as tracker:
        tracker.log({"charts/SPS": 5.0}, 1)
    assert [line for line in said if "Weave" in line] == []


def test_a_missing_film_is_said_once_and_metrics_go_on(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with start(run) as tracker:
        tracker.video("eval/film", run.path / "none.mp4", 1)
        tracker.video("eval/film", run.path / "none.mp4", 2)
        tracker.model(run.path / "none.safetensors", {}, [])
        tracker.log({"charts/SPS": 5.0}, 3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "show a video" in lines[0] and "keep a model" in lines[1]
    assert [row["global_step"] for row in read_back(run).history] == [3]
