"""Bad luck in a run: each is met on purpose, and nothing that was good before is lost."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_dqn import TINY
from tracked_runs import read_back

from agents import dqn, play
from agents.rl.interfaces import Policy
from agents.training import evaluator, session
from agents.training.evaluate import Evaluation
from agents.training.evaluator import Evaluator
from rl_gen_lab.cli.errors import SaveError
from rl_gen_lab.runs import checkpoints, guards
from rl_gen_lab.runs.folder import RunFolder
from rl_gen_lab.runs.interrupt import EXIT_INTERRUPTED


def test_a_run_says_what_its_observation_is_read_as(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    env, said = "envs.probes.pictures:Pictures/Quarter-v0", []
    for name in ("CartPole", env):
        dqn.main([*TINY, "--env", name, "--total-env-steps", "4", "--runs-dir", str(tmp_path)])
        said += [line for line in capsys.readouterr().out.splitlines() if line.startswith("observation: ")]
    picture = "a picture of 10x10 of 2 channels, in its own size, 0 to 1 as bytes, 4 in a stack"
    assert said == ["observation: a vector of 4 numbers", f"observation: {picture}"]


def test_ctrl_c_before_the_run_began_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session.Tracker, "start", interrupted)
    with pytest.raises(SystemExit) as stopped:
        dqn.main([*TINY, "--runs-dir", str(tmp_path)])
    assert stopped.value.code == EXIT_INTERRUPTED
    assert capsys.readouterr().err == "stopped\n"


def test_a_full_disk_costs_a_checkpoint_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save, calls = guards.save_state, []

    def sometimes(folder: Path, state: dict[str, object]) -> None:
        calls.append(folder)
        if len(calls) == 3:  # of steps 0, 200, 400, 600
            raise SaveError("no space left on the disk")
        save(folder, state)

    monkeypatch.setattr(guards, "save_state", sometimes)
    dqn.main([*TINY, "--runs-dir", str(tmp_path)])
    assert "checkpoint at step 400 not written, the one before stays: no space left" in capsys.readouterr().out
    (path,) = tmp_path.iterdir()
    assert RunFolder.open(path).read_result()["status"] == "finished"


def test_a_run_whose_last_checkpoint_the_disk_refused_is_finished_by_resuming_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save = guards.save_state

    def full_at_the_end(folder: Path, state: dict[str, Any]) -> None:
        if state["session"]["env_steps"] >= 600:
            raise SaveError("no space left on the disk")
        save(folder, state)

    dqn.main([*TINY, "--runs-dir", str(tmp_path / "whole")])
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(guards, "save_state", full_at_the_end)
        dqn.main([*TINY, "--runs-dir", str(tmp_path / "full")])
    said = capsys.readouterr().err
    assert (
        end.value.code == 2 and said.count("\n") == 1 and said.endswith("is not on disk: make room, then resume it\n")
    )
    (whole,), (run,) = ((tmp_path / name).iterdir() for name in ("whole", "full"))
    dqn.main(["--resume", str(run)])
    results = [RunFolder.open(path).read_result() for path in (whole, run)]
    assert results[0]["final_eval"] == results[1]["final_eval"]
    assert all((path / "checkpoints" / "last.safetensors").is_file() for path in (whole, run))


def test_a_run_of_which_the_disk_refused_every_weight_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise SaveError("no space left on the disk")

    monkeypatch.setattr(guards, "save_weights", full)
    with pytest.raises(SystemExit) as end:
        dqn.main([*TINY, "--runs-dir", str(tmp_path)])
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.startswith("error: the disk refused all weights of ") and said.count("\n") == 1
    (path,) = tmp_path.iterdir()
    assert RunFolder.open(path).read_result()["status"] == "failed"


def test_a_run_folder_that_is_moved_while_it_trains_is_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = session.RecordedRun.running

    def moved(self: session.RecordedRun) -> bool:
        if self.log.env_steps >= 300 and self.run.path.is_dir():
            self.run.path.rename(tmp_path / "moved")
        return running(self)

    monkeypatch.setattr(session.RecordedRun, "running", moved)
    with pytest.raises(SystemExit) as end:
        dqn.main([*TINY, "--runs-dir", str(tmp_path)])
    said = capsys.readouterr()
    assert end.value.code == 2 and said.err.count("\n") == 1
    assert "is no longer there: was it moved or removed?" in said.err
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]
    assert RunFolder.open(tmp_path / "moved").read_metrics()
    assert checkpoints.load_state(tmp_path / "moved" / "checkpoints" / "latest")


def test_the_best_agent_is_the_best_that_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save, means = guards.save_weights, iter((1.0, 2.0, 0.5))

    def scored(self: Evaluator, policy: Policy, episodes: int, *_: object) -> tuple[Evaluation, np.ndarray]:
        return Evaluation([next(means, 1.0)] * episodes, [1] * episodes, {}), np.zeros((0, 1))

    def full_at_400(file: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
        if metadata["global_step"] == "400":
            raise SaveError("no space left on the disk")
        save(file, tensors, metadata)

    monkeypatch.setattr(Evaluator, "_play", scored)
    monkeypatch.setattr(guards, "save_weights", full_at_400)
    dqn.main([*TINY, "--runs-dir", str(tmp_path)])
    assert "the best weights were not written: no space left" in capsys.readouterr().out
    (path,) = tmp_path.iterdir()
    run = RunFolder.open(path)
    _, about = checkpoints.load_weights(run.checkpoints / "best.safetensors")
    assert run.read_result()["best_eval"]["global_step"] == int(about["global_step"]) == 200


def test_a_standstill_is_said_and_sent_once_and_a_better_evaluation_counts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    means = iter((5.0, 4.0, 5.0, 3.0, 6.0, 5.0))
    monkeypatch.setattr(
        Evaluator,
        "_play",
        lambda self, policy, episodes, *_: (Evaluation([next(means)] * episodes, [1] * episodes, {}), np.zeros((0, 1))),
    )
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(session.Tracker, "alert", lambda self, *words: sent.append(words))
    flags = ["--eval.every-env-steps", "100", "--total-env-steps", "500", "--wandb.alert-evaluations", "2"]
    dqn.main([*TINY, *flags, "--runs-dir", str(tmp_path)])
    line = "no better evaluation in the last 2: 5.00 at step 100"
    assert capsys.readouterr().out.count(line) == 1
    ((title, text),) = sent
    assert title == "stands still" and text.endswith(line)


@pytest.mark.slow
def test_wandb_gets_the_episodes_of_the_final_evaluation_and_the_film(tmp_path: Path) -> None:
    dqn.main([*TINY, "--film", "--wandb.mode", "offline", "--wandb.notes", "tiny", "--runs-dir", str(tmp_path)])
    (path,) = tmp_path.iterdir()
    run = RunFolder.open(path)
    found = read_back(run)
    assert found.notes == "tiny" and found.job_type == "train" and found.group.startswith("dqn-CartPole-v1-")
    scored = run.read_result()["final_eval"]
    (row,) = (row for row in found.history if "final/episodes._type" in row)
    file = next((path / "wandb").glob(f"offline-run-*/files/{row['final/episodes.path']}"))
    table = json.loads(file.read_text())
    assert table["columns"] == ["seed", "episode", "return", "length"]
    pairs = zip(scored["returns"], scored["lengths"], strict=True)
    assert table["data"] == [[scored["protocol"]["seed"], n, *pair] for n, pair in enumerate(pairs, 1)]
    kinds = {artifact["type"]: artifact for artifact in found.artifacts}
    assert kinds["film"]["metadata"]["return_mean"] == scored["return_mean"] and "best" in kinds["film"]["aliases"]
    assert 0 < max(line.get("charts/cpu_percent", 0) for line in run.read_metrics()) < 6_400


def test_a_disk_full_to_the_end_stops_the_run_with_the_command_that_resumes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise SaveError("no space left on the disk")

    finished: list[int] = []
    monkeypatch.setattr(guards, "save_weights", full)
    monkeypatch.setattr(RunFolder, "write_result", full)
    monkeypatch.setattr(session.Tracker, "finish", lambda self, code: finished.append(code))
    with pytest.raises(SystemExit) as stopped:
        dqn.main([*TINY, "--runs-dir", str(tmp_path)])
    said = capsys.readouterr()
    assert stopped.value.code == 2
    assert said.err == "error: no space left on the disk\n"
    assert re.search(r"resume with: .*python\S* -m agents\.dqn --resume ", said.out)
    assert finished == [1]


def test_a_run_stops_when_an_evaluation_reaches_the_goal(tmp_path: Path) -> None:
    dqn.main([*TINY, "--runs-dir", str(tmp_path), "--stop-at-return", "5"])
    (path,) = tmp_path.iterdir()
    result = RunFolder.open(path).read_result()
    assert result["solved"]["env_steps"] == result["total_env_steps"] == 200


def test_a_run_stops_when_its_minutes_are_spent(tmp_path: Path) -> None:
    dqn.main([*TINY, "--runs-dir", str(tmp_path), "--total-minutes", "0.0001"])
    (path,) = tmp_path.iterdir()
    assert RunFolder.open(path).read_result()["total_env_steps"] < 600


@pytest.mark.slow
def test_evaluation_does_not_change_what_is_learned(tmp_path: Path) -> None:
    for every in ("0", "100"):
        dqn.main([*TINY, "--runs-dir", str(tmp_path / every), "--eval.every-env-steps", every])
    weights = [next((tmp_path / every).glob("*/checkpoints/last.safetensors")).read_bytes() for every in ("0", "100")]
    # The files differ in their metadata only: compare what follows the header.
    tails = [data[8 + int.from_bytes(data[:8], "little") :] for data in weights]
    assert tails[0] == tails[1]


def test_play_scores_and_films_a_saved_agent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dqn.main([*TINY, "--runs-dir", str(tmp_path)])
    (path,) = tmp_path.iterdir()
    capsys.readouterr()
    play.main([str(path), "--episodes", "3", "--film-steps", "30"])
    said = capsys.readouterr().out
    assert "over 3 episodes" in said
    for name in ("play.mp4", "play.gif"):
        assert (path / "videos" / name).stat().st_size > 1_000
    scored = json.loads((path / "result.json").read_text())["final_eval"]
    play.main([str(path), "--episodes", "2", "--film-steps", "5", "--seed", str(scored["protocol"]["seed"])])
    mean = float(np.mean(scored["returns"]))
    said = capsys.readouterr().out
    assert f"dqn (best): {mean:.2f} ±" in said  # the same agent on the same seeds
    assert "video of the first 5 steps of an episode that was cut off there, return so far 5: " in said


def test_a_world_that_cannot_be_drawn_costs_the_film_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError("no picture")

    monkeypatch.setattr(evaluator, "play_episode", broken)
    dqn.main([*TINY, "--film", "--runs-dir", str(tmp_path)])
    assert "no video: ZeroDivisionError: no picture" in capsys.readouterr().out
    (path,) = tmp_path.iterdir()
    assert RunFolder.open(path).read_result()["status"] == "finished"


@pytest.mark.parametrize("name", ["dqn", "ppo", "actor_critic", "reinforce", "sb3"])
def test_help_describes_each_group_of_settings_by_its_own_words(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        importlib.import_module(f"agents.{name}").main(["--help"])
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for own in ("Evaluation settings; evaluations have environments", "Weights & Biases settings."):
        assert own in words
    assert ("Resuming is not exact: Stable-Baselines3 saves no generator" in words) == (name == "sb3")
    assert "The environments of our agents restart there" in words and "Those of agents.sb3 play on" in words


@pytest.mark.parametrize("counter", ["env_steps", "num_timesteps"])
def test_steps_of_an_agent_that_are_not_those_of_its_run_are_refused(counter: str) -> None:
    def state(own: int, processes: int = 1) -> dict[str, dict[str, int]]:
        return {"agent": {counter: own}, "session": {"env_steps": 8, "processes": processes}}

    session.refuse_unfit_state(state(8), state(0), None)
    session.refuse_unfit_state(state(4, processes=2), state(0), None)  # each counts its own
    for own in (0, 9, 10**15):
        with pytest.raises(ValueError, match="'agent' has counted"):
            session.refuse_unfit_state(state(own), state(0), None)
