"""The record of how often the truth holds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import gymnasium as gym
import pytest

from agents import dqn, truth
from envs.ground_truth.wrappers import GroundTruthInfo


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "truth.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def test_every_frame_is_counted_and_one_row_is_kept_for_a_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--env", "Pong", "--results-dir", str(tmp_path)]
    truth.main([*flags, "--frames", "400"])
    truth.main([*flags, "--frames", "600"])
    truth.main(["--env", "Boxing", "--frames", "200", "--results-dir", str(tmp_path)])
    boxing, pong = rows(tmp_path)
    assert (boxing["env_id"], pong["env_id"]) == ("ALE/Boxing-v5", "ALE/Pong-v5")
    frames, rejected = int(pong["frames"]), int(pong["rejected"])
    assert 600 <= frames < 604, "all four frames of a step"
    assert float(pong["accepted_percent"]) == pytest.approx(100 * (1 - rejected / frames), abs=1e-3)
    assert pong["policy"] == "random" and int(pong["frames_per_cpu_second"]) > 0
    assert "ALE/Boxing-v5, random play: 100.0 % of" in capsys.readouterr().out


def test_a_trained_agent_plays_and_settings_of_another_version_do_not_stop_it(tmp_path: Path) -> None:
    flags = [
        "--preset",
        "defaults",
        "--env",
        "CartPole",
        "--total-env-steps",
        "120",
        "--num-envs",
        "2",
        "--device",
        "cpu",
    ]
    flags += ["--learning-starts-env-steps", "60", "--replay.capacity", "200", "--backbone", "mlp_small", "--no-film"]
    flags += ["--eval.every-env-steps", "0", "--eval.episodes", "1", "--eval.final-episodes", "1"]
    dqn.main([*flags, "--wandb.mode", "disabled", "--runs-dir", str(tmp_path / "runs")])
    (run,) = (tmp_path / "runs").iterdir()
    config = json.loads((run / "config.json").read_text())
    config["config"]["a_setting_of_long_ago"] = 3
    (run / "config.json").write_text(json.dumps(config))
    truth.main(["--env", "CartPole", "--run", str(run), "--frames", "30", "--results-dir", str(tmp_path)])
    truth.main(["--env", "CartPole", "--frames", "30", "--results-dir", str(tmp_path)])
    trained, random = rows(tmp_path)
    assert (trained["policy"], random["policy"]) == (run.name, "random")
    assert trained["rejected"] == "0" and int(trained["frames"]) >= 30


def test_an_agent_of_another_environment_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(json.dumps({"env_id": "CartPole-v1"}))
    for run, message in ((tmp_path / "run", "plays CartPole-v1, not Pong"), (tmp_path / "gone", "gone")):
        with pytest.raises(SystemExit) as stopped:
            truth.main(["--env", "Pong", "--run", str(run), "--results-dir", str(tmp_path)])
        (line,) = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2 and message in line


def test_rejected_frames_are_counted_by_their_reason() -> None:
    count = truth.Count()
    env = truth.Counting(gym.make("ALE/Pong-v5", frameskip=1), count)
    env.reset(seed=0)
    for _ in range(5):
        env.step(0)
    env.close()
    assert count.frames == 6
    # The first frame of a game is drawn before the paddle.
    assert count.problems and sum(count.problems.values()) < 6
    assert not any(" at " in reason for reason in count.problems)
    assert isinstance(env.env, GroundTruthInfo)


def test_an_environment_without_truth_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        truth.main(["--env", "Qbert", "--results-dir", str(tmp_path)])
    assert stopped.value.code == 2 and "no ground truth for ALE/Qbert-v5" in capsys.readouterr().err
    assert not (tmp_path / "truth.csv").exists()
