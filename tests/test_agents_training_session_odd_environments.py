"""Whole runs in environments that do what those of users do: trained, evaluated, recorded, resumed and played."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import odd_envs
import odd_runs
import pytest
from gymnasium import spaces
from odd_envs import Odd

from envs.copies import say_once
from rl_gen_lab.runs.folder import RunFolder

pytestmark = pytest.mark.slow
WARNINGS = pytest.mark.filterwarnings("ignore:.*WARN:UserWarning")  # Gymnasium's own checker warns first


def moving(step: int) -> np.ndarray:
    return np.full((40, 30, 3), min(20 * step, 255), np.uint8)


def whole_life(agent: str, folder: Path, name: str, *flags: str) -> tuple[RunFolder, str]:
    """Train, resume and play; return the run and what its training printed."""
    found, said = odd_runs.run(agent, folder, name, *flags)
    result = found.read_result()
    assert result["status"] == "finished" and result["final_eval"]["returns"] == [4.0, 4.0]
    assert "resumed at step" in odd_runs.resume(agent, found, "--total-env-steps", "96")
    assert found.read_result()["total_env_steps"] >= 96
    assert "4.00 ± 0.00 over 2 episodes" in odd_runs.play(found)
    return found, said


@pytest.fixture(params=odd_runs.AGENTS)
def agent(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_infos_of_any_kind_disturb_no_agent(agent: str, tmp_path: Path) -> None:
    with odd_envs.registered(infos=True, renders=moving) as name:
        found, _ = whole_life(agent, tmp_path, name)
    assert (found.videos / "final.mp4").stat().st_size > 500


@WARNINGS
def test_observations_of_another_type_than_their_space_are_played_too(agent: str, tmp_path: Path) -> None:
    with odd_envs.registered(observes=lambda steps: np.array([steps, 0.1, 0.0]), renders=moving) as name:
        found, said = whole_life(agent, tmp_path, name)
    assert "no video" not in said and (found.videos / "play.mp4").exists()


@pytest.mark.parametrize("agent", ["ppo", "sb3 a2c"])
def test_an_environment_that_changes_the_working_directory_leaves_the_run_in_its_folder(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    with odd_envs.registered(renders=moving, moves_to=str(elsewhere)) as name:
        _, said = odd_runs.run(agent, Path("runs"), name)
        os.chdir(tmp_path)
        (folder,) = Path("runs").iterdir()
        found = RunFolder.open(folder)
        assert "resumed at step" in odd_runs.resume(agent, found, "--total-env-steps", "96")
        os.chdir(tmp_path)
        played = odd_runs.play(RunFolder.open(folder))
    assert not list(elsewhere.iterdir()) and found.read_result()["total_env_steps"] >= 96
    assert (found.videos / "final.mp4").exists() and (found.videos / "play.mp4").exists()
    assert f"run folder {folder}\n" in said and f"see {folder}\n" in said and f": {folder}/videos/final.mp4\n" in said
    assert f": {folder}/videos/play.mp4 and {folder}/videos/play.gif\n" in played


def test_a_pretrained_backbone_is_found_from_where_the_command_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    with odd_envs.registered(renders=moving, moves_to=str(elsewhere)) as name:
        odd_runs.run("ppo", Path("first"), name)
        os.chdir(tmp_path)
        (first,) = Path("first").iterdir()
        for number, named in enumerate((first, first / "checkpoints" / "best.safetensors")):
            found, _ = odd_runs.run("ppo", Path(f"second{number}"), name, "--init-backbone", str(named))
            assert found.read_config()["init_backbone"]["algo"] == "ppo"
            os.chdir(tmp_path)


@pytest.mark.parametrize("method", ["constructor", "reset", "step"])
def test_an_environment_that_calls_sys_exit_ends_training_with_a_line_and_exit_code_2(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for agent in ("ppo", "sb3 a2c"):
        with odd_envs.registered(exits=method) as name, pytest.raises(SystemExit) as stopped:
            odd_runs.run(agent, tmp_path, name)
        (line,) = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2 and name in line and line.endswith("SystemExit")


@pytest.mark.parametrize(("method", "said"), [("render", "no video: "), ("close", "done: 4.00")])
def test_an_environment_that_calls_sys_exit_after_training_is_scored(method: str, said: str, tmp_path: Path) -> None:
    with odd_envs.registered(exits=method, renders=moving) as name:
        found, printed = odd_runs.run("ppo", tmp_path, name)
        assert "4.00 ± 0.00" in odd_runs.play(found)
    assert said in printed and found.read_result()["status"] == "finished"


ACTIONS: dict[str, spaces.Space[Any]] = {
    "Discrete": spaces.Discrete(3, start=5, dtype=np.int8),
    "MultiDiscrete": spaces.MultiDiscrete([[3, 2], [2, 2]], start=[[1, 0], [-1, 0]], dtype=np.int8),
    "MultiBinary": spaces.MultiBinary([2, 2]),
    "float16": spaces.Box(-0.3, 0.7, (2,), np.float16),
    "float64": spaces.Box(-0.3, 0.7, (2, 2), np.float64),
    "int8": spaces.Box(-3, 3, (2,), np.int8),
    "no axes": spaces.Box(-1, 1, (), np.float32),
    "unbounded": spaces.Box(-np.inf, np.inf, (2,), np.float32),
    "half-bounded": spaces.Box(5.0, np.inf, (2,), np.float64),
}


def test_actions_of_any_kind_lie_in_their_space_or_are_refused_in_one_line(
    agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for kind, space in ACTIONS.items():
        folder = tmp_path / kind.replace(" ", "_")
        can = kind == "Discrete" or "dqn" not in agent
        can = can and not ("bounded" in kind and "sb3" in agent)
        flags = ("--eval.epsilon", "0.5", "--no-film") if kind != "MultiDiscrete" else ()  # random actions too
        with odd_envs.registered(actions=space, renders=moving) as name:
            if can:
                whole_life(agent, folder, name, *flags)
                continue
            with pytest.raises(SystemExit) as stopped:
                odd_runs.run(agent, folder, name)
        (line,) = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2 and "ppo" in line and str(name) in line
        assert not list(folder.iterdir()), "nothing is left of a refusal"


def test_an_environment_of_one_copy_is_evaluated_after_training(agent: str, tmp_path: Path) -> None:
    with odd_envs.registered(alone=True, renders=moving) as name:
        found, said = whole_life(agent, tmp_path, name, "--num-envs", "1")
    assert "note: there is no second copy for evaluations, so the agent is evaluated after training" in said
    assert said.index("note: there is no second copy") < said.index("evaluation of 2 episodes")
    assert said.count("evaluation of 2 episodes") == 1 and "done: 4.00" in said
    assert (found.videos / "final.mp4").exists() and (found.videos / "play.mp4").exists()
    assert Odd.alive == 0


@pytest.mark.parametrize("copies", [1, 2])
def test_an_environment_without_another_license_is_evaluated_after_training(
    copies: int, agent: str, tmp_path: Path
) -> None:
    with odd_envs.registered(licenses=copies, renders=moving) as name:
        found, said = whole_life(agent, tmp_path, name, "--num-envs", str(copies))
    assert "note: there is no second copy for evaluations, so the agent is evaluated after training" in said
    assert said.count("evaluation of 2 episodes") == 1 and "done: 4.00" in said
    assert (found.videos / "final.mp4").exists() and (found.videos / "play.mp4").exists()


@pytest.mark.parametrize("agent", ["dqn", "sb3 a2c"])
def test_more_copies_than_there_can_be_are_refused_before_training(
    agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with odd_envs.registered(alone=True) as name, pytest.raises(SystemExit) as stopped:
        odd_runs.run(agent, tmp_path, name)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be made in 2 copies at once, only 1 could be (--num-envs 1): OSError: port 5005 is in use" in line
    assert not list(tmp_path.iterdir()), "nothing is left of a refusal"


@pytest.mark.parametrize("agent", ["ppo", "sb3 a2c"])
def test_closing_that_raises_is_one_line(agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    say_once.cache_clear()
    with odd_envs.registered(closing=True, renders=moving) as name:
        whole_life(agent, tmp_path, name)
    assert len(capsys.readouterr().err.splitlines()) == 1


@WARNINGS
@pytest.mark.parametrize(
    ("renders", "said"),
    [
        (None, "no video: environment test/Odd-v0: its render() returned NoneType, no image"),
        (
            RuntimeError("no $DISPLAY"),
            "no video: environment test/Odd-v0, step 0: its render raised RuntimeError: no",
        ),
        (lambda step: np.full((40, 30, 3), 0.2 * step), "video of one episode, return 4: "),
        (lambda step: [moving(step)], "video of one episode, return 4: "),
        (lambda step: np.full((40 + 7 * step, 30 - 5 * step, 4), 90, np.uint8), "video of one episode, return 4: "),
        (lambda step: np.full((40, 30), 90, np.uint8), "video of one episode, return 4: "),
        (lambda step: np.full((1, 3_000, 3), 90, np.uint8), "video of one episode, return 4: "),
        (lambda step: np.full((3_000, 1, 3), 90, np.uint8), "video of one episode, return 4: "),
    ],
    ids=["none", "raises", "floats", "list", "growing-rgba", "gray", "wide", "tall"],
)
def test_a_render_gives_a_video_or_a_line_and_the_score_stays(renders: Any, said: str, tmp_path: Path) -> None:
    with odd_envs.registered(renders=renders) as name:
        found, printed = odd_runs.run("ppo", tmp_path, name)
        played = odd_runs.play(found)
    assert said in printed and said in played
    assert found.read_result()["final_eval"]["returns"] == [4.0, 4.0] and "4.00 ± 0.00" in played
    for video in ("final.mp4", "play.mp4", "play.gif"):
        assert (found.videos / video).exists() == said.startswith("video")


def test_a_class_without_a_render_mode_is_recorded_by_what_its_agent_says(tmp_path: Path) -> None:
    with odd_envs.registered("NoRenderMode") as name:
        found, printed = whole_life("ppo", tmp_path, name)
    assert "video of one episode, return 4; test/Odd-v0 renders no picture (rgb_array)" in printed
    assert (found.videos / "final.mp4").exists()


def test_an_environment_that_never_ends_is_evaluated_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rl_gen_lab.cli.progress.SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr("rl_gen_lab.cli.progress.SECONDS_TO_FIRST", 0.0)
    monkeypatch.setattr("agents.training.evaluate.LONG_EPISODE", 100)
    with odd_envs.registered(length=0, renders=moving) as name:
        found, printed = odd_runs.run("ppo", tmp_path, name, "--world.max-episode-frames", "120", "--no-film")
        played = odd_runs.play(found)
    said = "the next is at step 110 (of at most 120, --world.max-episode-frames)"
    assert f"evaluating: 0 of 2 episodes, {said}" in printed and f"final evaluation: 0 of 2 episodes, {said}" in printed
    assert said in played and "the first 6 steps of an episode" in played


def test_an_environment_that_raises_in_play_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with odd_envs.registered(renders=moving) as name:
        found, _ = odd_runs.run("ppo", tmp_path, name, "--no-film")
    with odd_envs.registered(renders=moving, raises_at=2), pytest.raises(SystemExit) as stopped:
        odd_runs.play(found)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        "error: environment test/Odd-v0, vector step 2 of 2 copies: it raised ZeroDivisionError: the physics exploded"
    )
