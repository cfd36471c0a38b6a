"""Tracking: two records that agree, resumed runs, full disks, kills."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tracked_runs import ROOT, read_back, read_finished, start
from wandb_reader import find_logs, read_wandb_run

from rl_gen_lab.cli.errors import DivergedError, SaveError
from rl_gen_lab.runs.checkpoints import save_weights
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.tracking.tracker import Tracker, WandbConfig

pytestmark = pytest.mark.usefixtures("without_machine_statistics")


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "runs", "dqn", "Pong", 1)


def test_an_offline_run_can_be_read_back_whole(run: RunFolder, tmp_path: Path) -> None:
    film, picture, weights = tmp_path / "a.gif", tmp_path / "a.png", tmp_path / "best.safetensors"
    film.write_bytes(b"GIF89a")
    from PIL import Image

    Image.new("RGB", (4, 4)).save(picture)
    save_weights(weights, {}, {})
    config = WandbConfig(mode="offline", project="lab", group="mine", tags=("first", "first"))
    with start(run, config=config) as tracker:
        tracker.log({"charts/episodic_return": -21.0}, 10)
        tracker.log({"losses/td_loss": float("nan")}, 20)
        tracker.histogram("losses/q_values", np.array([[1.0, 2.0], [np.nan, np.inf]]), 20)
        tracker.histogram("losses/q_values", np.array([np.nan]), 20)
        tracker.video("eval/film", film, 30)
        tracker.image("eval/picture", picture, 30)
        tracker.table("final", ["seed", "score"], [[1, np.float32(0.5)]])
        tracker.model(weights, {"return": np.float64(20)}, ["best"])
        tracker.film(film, {"return": 3}, ["best"])
        tracker.summary({"final/return": np.float64(20.5)})
    found = read_back(run)
    assert (found.name, found.project, found.group, found.job_type) == (run.path.name, "lab", "mine", "train")
    assert found.tags[:3] == ["first", "mine", "task:abc123"]
    assert {
        "env_id": "ALE/Pong-v5",
        "exp_name": "dqn",
        "seed": 1,
        "learning_rate": 1e-4,
    }.items() <= found.config.items()
    assert found.config["world.size"] == [84, 84]
    assert found.step_metrics == {"global_step": "", "wall_seconds": "global_step", "*": "global_step"}
    first, second, values, shown, picture_row, table = found.history
    assert (first["charts/episodic_return"], first["global_step"]) == (-21, 10)
    assert np.isnan(second["losses/td_loss"]) and second["wall_seconds"] >= first["wall_seconds"] >= 0
    assert values["losses/q_values._type"] == "histogram" and sum(values["losses/q_values.values"]) == 2
    assert (shown["eval/film._type"], shown["global_step"]) == ("video-file", 30)
    assert picture_row["eval/picture._type"] == "image-file" and table["final.nrows"] == 1
    model = next(artifact for artifact in found.artifacts if artifact["type"] == "model")
    assert (model["name"], model["type"], model["metadata"]) == ("dqn-ALE-Pong-v5", "model", {"return": 20.0})
    assert "best" in model["aliases"]
    kept = next(artifact for artifact in found.artifacts if artifact["type"] == "film")
    assert (kept["name"], kept["metadata"]) == ("dqn-ALE-Pong-v5-film", {"return": 3}) and "best" in kept["aliases"]
    assert found.summary["final/return"] == 20.5
    assert found.exit_code == 0
    assert run.read_metrics()[0]["charts/episodic_return"] == -21.0
    assert run.read_metrics()[1]["losses/td_loss"] is None


def test_everything_lies_in_the_run_folder(run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = tmp_path / "outside"
    for name in ("WANDB_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(outside))
    weights = tmp_path / "best.safetensors"
    save_weights(weights, {}, {})
    with start(run) as tracker:
        tracker.model(weights, {}, [])
        tracker.finish(0)
    assert not outside.exists()
    assert list((run.path / "wandb" / "artifacts").rglob("*"))
    assert os.environ["WANDB_DATA_DIR"] == str(outside)


def test_the_two_records_agree(run: RunFolder) -> None:
    with start(run) as tracker:
        for step in range(50):
            tracker.log({"charts/episodic_return": step / 7}, step)
    keys = ("global_step", "wall_seconds", "charts/episodic_return")
    local = [tuple(line[key] for key in keys) for line in run.read_metrics()]
    assert local == [tuple(row[key] for key in keys) for row in read_back(run).history]
    assert len(local) == 50


def ends(action: Callable[[Tracker], Any], run: RunFolder) -> int | None:
    try:
        with start(run) as tracker:
            action(tracker)
    except BaseException:
        pass
    return read_back(run).exit_code


def fail(error: BaseException) -> Callable[[Tracker], None]:
    def action(_: Tracker) -> None:
        raise error

    return action


@pytest.mark.parametrize(
    ("action", "code"),
    [
        (lambda tracker: None, 0),
        (lambda tracker: tracker.finish(3), 3),
        (fail(SystemExit(3)), 3),
        (fail(SystemExit()), 0),
        (fail(SystemExit("text")), 1),
        (fail(RuntimeError()), 1),
        (fail(KeyboardInterrupt()), 130),
    ],
)
def test_the_exit_code_is_recorded(run: RunFolder, action: Callable[[Tracker], Any], code: int) -> None:
    assert ends(action, run) == code


def test_a_resumed_run_goes_on_in_time_and_keeps_its_id(run: RunFolder) -> None:
    start(run).finish(0)
    tracker = start(run, wall_offset=100.0)
    tracker.log({"charts/SPS": 1.0}, 5)
    tracker.finish(0)
    assert 100.0 <= run.read_metrics()[0]["wall_seconds"] < 110.0
    assert tracker.wall_seconds >= 100.0
    first, second = (read_finished(file) for file in find_logs(run.path))
    assert first.run_id == second.run_id and first.name == second.name
    assert (len(first.history), len(second.history)) == (0, 1)


def test_two_runs_at_once_do_not_mix(tmp_path: Path) -> None:
    runs = [RunFolder.create(tmp_path, "dqn", "Pong", seed) for seed in (1, 2)]
    trackers = [start(run) for run in runs]
    for number, tracker in enumerate(trackers):
        tracker.log({"charts/SPS": 1.0}, number)
    for tracker in trackers:
        tracker.finish(0)
    assert [[row["global_step"] for row in read_back(run).history] for run in runs] == [[0], [1]]


def test_one_line_says_how_to_look(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with start(run) as tracker:
        capsys.readouterr()
        tracker.print_dashboard_hint()
    (line,) = capsys.readouterr().out.splitlines()
    folder = find_logs(run.path)[0].parent
    assert line.startswith("W&B: offline") and f"leet {folder}" in line and f"sync {folder}" in line


def test_every_part_of_a_resumed_offline_run_is_named_for_its_upload_in_order(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = []
    for _ in range(3):
        with start(run) as tracker:
            capsys.readouterr()
            tracker.print_dashboard_hint()
            lines.append(capsys.readouterr().out.strip())
        time.sleep(1.05)  # W&B names the folder of a part by the second
    first, second, third = (file.parent for file in find_logs(run.path))
    assert lines[0].endswith(f"sync {first}") and lines[1].endswith(f"sync {first} {second}")
    assert f"leet {second} |" in lines[1]
    assert lines[2].endswith(f"sync {first} {second} {third}")
    (second / f"{find_logs(run.path)[1].name}.synced").touch()  # as `wandb sync` leaves it
    assert start(run).session.hint.endswith(f"sync {first} {third} {find_logs(run.path)[-1].parent}")


def test_an_alert_is_sent_for_a_run_that_diverged_and_for_no_other_error(run: RunFolder) -> None:
    with start(run) as tracker:
        tracker.alert_of(None)
        tracker.alert_of(SaveError("the disk is full"))
        tracker.alert_of(DivergedError("losses/td_loss became nan at step 5"))
        tracker.alert("t" * 70, "a title of any length")
    first, second = read_back(run).alerts
    assert first == ("diverged", f"{run.path.name}: losses/td_loss became nan at step 5")
    assert second == ("t" * 63, "a title of any length")


def test_leet_reads_the_folder_that_the_line_names(run: RunFolder) -> None:
    with start(run) as tracker:
        tracker.log({"charts/SPS": 5.0}, 5)
    folder = find_logs(run.path)[0].parent
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", "--json", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert '"charts/SPS"' in done.stdout and "dqn__Pong__1" in done.stdout


def test_disabled_writes_only_the_local_record(run: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    with start(run, "disabled") as tracker:
        tracker.log({"charts/SPS": 5.0}, 5)
        tracker.histogram("a", np.ones(3), 5)
        tracker.video("a", run.path / "none.mp4", 5)
        tracker.model(run.path / "none", {}, [])
        tracker.summary({"a": 1})
        tracker.print_dashboard_hint()
    assert run.read_metrics()[0]["charts/SPS"] == 5.0
    assert not (run.path / "wandb").exists()
    assert "metrics.jsonl" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["wandb", "cache"])
def test_folders_that_cannot_be_written_cost_one_line_and_the_dashboard(
    run: RunFolder, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "blocked"
    if name == "wandb":
        (run.path / "wandb").write_text("a file in its place")
    else:
        blocked.write_text("a file in its place")
        monkeypatch.setenv("WANDB_CACHE_DIR", str(blocked))
    with start(run, config=WandbConfig(mode="offline")) as tracker:
        tracker.log({"charts/episodic_return": 1.0}, 10)
    said = capfd.readouterr()
    assert [line for line in said.out.splitlines() if "W&B cannot write" in line] and "recording in" in said.out
    assert said.err == "" and len(said.out.splitlines()) <= 2
    assert run.read_metrics()[0]["charts/episodic_return"] == 1.0 and tracker.mode == "disabled"


def test_a_full_disk_is_said_once_and_training_goes_on(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: Any) -> None:
        raise SaveError("could not save metrics.jsonl: No space left on device")

    with start(run) as tracker:
        with monkeypatch.context() as patch:
            patch.setattr(run, "append_metrics", refuse)
            tracker.log({"charts/SPS": 1.0}, 1)
            tracker.log({"charts/SPS": 2.0}, 2)
        tracker.log({"charts/SPS": 3.0}, 3)
    assert capsys.readouterr().out.count("No space left") == 1
    assert [line["global_step"] for line in run.read_metrics()] == [3]
    assert [row["global_step"] for row in read_back(run).history] == [1, 2, 3]


@pytest.mark.slow
def test_the_last_points_of_a_killed_run_are_in_both_records(tmp_path: Path) -> None:
    code = """if True:
        import pathlib, sys, time
        from rl_gen_lab.runs.folder import RunFolder
        from rl_gen_lab.tracking.tracker import Tracker, WandbConfig
        run = RunFolder(pathlib.Path(sys.argv[1]))
        tracker = Tracker.start(run, WandbConfig(mode="offline"), algo="dqn", env_id="Pong", seed=1,
                                flat_config={}, fingerprint_hash="a")
        for step in range(100):
            tracker.log({"charts/episodic_return": float(step)}, step)
        print("logged", flush=True)
        time.sleep(60)
    """
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "logged\n"
        time.sleep(2.0)  # W&B flushes every second
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    run = RunFolder(tmp_path)
    assert [line["global_step"] for line in run.read_metrics()] == list(range(100))
    found = read_wandb_run(find_logs(run.path)[0])
    assert [row["charts/episodic_return"] for row in found.history] == list(range(100))
    assert found.exit_code is None
