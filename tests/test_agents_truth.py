"""The record of how often the truth holds."""

from __future__ import annotations

import csv
from pathlib import Path

import gymnasium as gym
import pytest

from agents import truth
from envs.truth.wrappers import WithTruth


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
    assert isinstance(env.env, WithTruth)


def test_a_world_without_truth_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        truth.main(["--env", "Qbert", "--results-dir", str(tmp_path)])
    assert stopped.value.code == 2 and "no truth for ALE/Qbert-v5" in capsys.readouterr().err
    assert not (tmp_path / "truth.csv").exists()
